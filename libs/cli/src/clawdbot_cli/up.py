"""`clawdbot up`: the suite as a process, from its configuration to the banner to the drain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clawdbot_servicekit.process import serve

from clawdbot_cli.settings import suite_settings

if TYPE_CHECKING:
    from clawdbot_servicekit.host import Host

    from clawdbot_cli.suite import Suite


def serve_suite(config: Path | None, overrides: Mapping[str, object]) -> int:
    """Serves until a signal and returns the exit code.

    Args:
        config: what --config says.
        overrides: dotted key → value from the command line.

    Raises:
        StartupError: for what the operator can mend.
    """
    try:
        settings = suite_settings(config, overrides)
        assembled: list[Suite] = []

        def assemble(host: Host) -> None:
            # Here and not above: a supervisor of workers has no use for the services, nor for gRPC.
            from clawdbot_cli.suite import Suite

            assembled.append(Suite(settings, host))

        def announce(_host: Host) -> None:
            # rich is not needed before there is something to show.
            from clawdbot_cli.banner import Banner

            Banner.of(assembled[0]).show()

        return serve(settings, assemble, on_serving=announce)
    except KeyboardInterrupt:
        return 0  # before the signal handlers were in place: nothing had begun
