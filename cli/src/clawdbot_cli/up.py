"""`clawdbot up`: the suite as a process, from its configuration to the banner to the drain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clawdbot_servicekit.process import serve

from clawdbot_cli.settings import SuiteSettings, suite_settings

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
        start = _Start(suite_settings(config, overrides))
        return serve(start.settings, start.assemble, on_serving=start.announce)
    except KeyboardInterrupt:
        return 0  # before the signal handlers were in place: nothing had begun


class _Start:
    """From settings to a suite that serves, in the process that serves it."""

    def __init__(self, settings: SuiteSettings) -> None:
        self.settings = settings
        self._suite: Suite | None = None

    def assemble(self, host: Host) -> None:
        """Puts the suite on the host."""
        # Here and not above: a supervisor of workers has no use for the services, nor for gRPC.
        from clawdbot_cli.suite import Suite

        self._suite = Suite(self.settings, host)

    def announce(self, _: Host) -> None:
        """Says that it serves."""
        if self._suite is None:
            raise RuntimeError("the suite serves before it was assembled")
        # rich is not needed before there is something to show.
        from clawdbot_cli.banner import Banner

        Banner.of(self._suite).show()
