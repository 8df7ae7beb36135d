"""`python -m clawdbot_dialogue`: runs the dialogue service alone."""

from __future__ import annotations

from clawdbot_servicekit.process import run_service

from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_dialogue.wiring import build


def main() -> None:
    """Serves until a signal arrives."""
    run_service(DialogueSettings, build)


if __name__ == "__main__":
    main()
