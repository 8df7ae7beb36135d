"""`python -m clawdbot_plugins`: runs the plugin service on its own."""

from __future__ import annotations

from clawdbot_servicekit.process import run_service

from clawdbot_plugins.settings import PluginsSettings
from clawdbot_plugins.wiring import build


def main() -> None:
    """Serves until the process gets a signal to stop."""
    run_service(PluginsSettings, build)


if __name__ == "__main__":
    main()
