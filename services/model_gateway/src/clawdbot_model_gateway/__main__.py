"""`python -m clawdbot_model_gateway`: the model gateway alone."""

from __future__ import annotations

from clawdbot_servicekit.process import run_service

from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_model_gateway.wiring import build


def main() -> None:
    """Serves until a signal."""
    run_service(GatewaySettings, build)


if __name__ == "__main__":
    main()
