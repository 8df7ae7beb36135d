"""`clawdbot up`: loads the configuration, serves the suite, shows the banner, and drains on a signal."""

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
    """Serves until a signal arrives, and returns the exit code.

    Args:
        config: the value of --config.
        overrides: dotted key → value from the command line.

    Raises:
        StartupError: for what the operator can fix.
    """
    try:
        startup = _Startup(suite_settings(config, overrides))
        return serve(startup.settings, startup.add_suite, on_serving=startup.show_banner)
    except KeyboardInterrupt:
        return 0  # before the signal handlers were installed: nothing had started


class _Startup:
    """Builds the suite in the process that serves it, and shows its banner."""

    def __init__(self, settings: SuiteSettings) -> None:
        self.settings = settings
        self._suite: Suite | None = None

    def add_suite(self, host: Host) -> None:
        """Builds the suite on the host."""
        # Imported here: a supervisor of workers needs neither the services nor gRPC.
        from clawdbot_cli.suite import Suite

        self._suite = Suite(self.settings, host)

    def show_banner(self, _: Host) -> None:
        """Prints the banner."""
        if self._suite is None:
            raise RuntimeError("the host is serving, but the suite was not built")
        # Imported here: rich is not needed before there is something to show.
        from clawdbot_cli.banner import Banner

        Banner.from_suite(self._suite).show()
