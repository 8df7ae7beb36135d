"""`python -m clawdbot_plugins`: runs the plugin service on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawdbot_servicekit.process import run_service

from clawdbot_plugins.settings import PluginsSettings

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers


def main() -> None:
    """Serves until the process gets a signal to stop."""
    run_service(PluginsSettings, _build)


def _build(settings: PluginsSettings, peers: Peers) -> Application:
    # Imported here: it imports gRPC, which run_service has to come before.
    from clawdbot_plugins.wiring import build

    return build(settings, peers)


if __name__ == "__main__":
    main()
