"""`python -m clawdbot_cli`: the `clawdbot` command where its script is not on PATH."""

from __future__ import annotations

from clawdbot_cli.main import main

if __name__ == "__main__":
    main()
