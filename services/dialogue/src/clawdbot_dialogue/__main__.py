"""`python -m clawdbot_dialogue`: runs the dialogue service alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawdbot_servicekit.process import run_service

from clawdbot_dialogue.settings import DialogueSettings

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers


def main() -> None:
    """Serves until a signal arrives."""
    run_service(DialogueSettings, _build)


def _build(settings: DialogueSettings, peers: Peers) -> Application:
    # Imported here: it imports gRPC, which run_service has to come before.
    from clawdbot_dialogue.wiring import build

    return build(settings, peers)


if __name__ == "__main__":
    main()
