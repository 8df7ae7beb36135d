"""`python -m clawdbot_model_gateway`: runs the model gateway on its own."""

from __future__ import annotations

from clawdbot_servicekit.process import run_service

from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.wiring import build


def main() -> None:
    """Serves until a signal arrives."""
    run_service(GatewaySettings, build)


if __name__ == "__main__":
    main()
