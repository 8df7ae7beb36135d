"""`python -m clawdbot_model_gateway`: runs the model gateway on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawdbot_servicekit.process import run_service

from clawdbot_model_gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers


def main() -> None:
    """Serves until a signal arrives."""
    run_service(GatewaySettings, _build)


def _build(settings: GatewaySettings, peers: Peers) -> Application:
    # Imported here: it imports gRPC, which run_service has to come before.
    from clawdbot_model_gateway.wiring import build

    return build(settings, peers)


if __name__ == "__main__":
    main()
