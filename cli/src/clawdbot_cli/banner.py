"""The banner of `clawdbot up`: what is running where, and which commands to try next.

It goes to stdout; stderr is for the log. The facts come from the running suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from clawdbot_servicekit import sockets
from rich.console import Console
from rich.text import Text

from clawdbot_cli.addresses import connectable_host
from clawdbot_cli.next_steps import next_steps

if TYPE_CHECKING:
    from clawdbot_servicekit.settings import SharedSettings

    from clawdbot_cli.suite import Suite

ROW_ORDER: Final = ("services", "access", "store", "models", "flows", "plugins", "hooks")
"""The first rows; other rows that a service describes follow."""
HIDDEN_ROWS: Final = frozenset({"tools"})
"""Rows that a service describes and that are too long for the banner."""
NAME_ROWS: Final = frozenset({"services", "flows", "plugins"})
"""Rows that hold names; the others hold sentences."""
LABEL_WIDTH: Final = 10
"""Columns of a row's label."""


@runtime_checkable
class SelfDescribing(Protocol):
    """A service that has rows for the banner."""

    def describe(self) -> Mapping[str, Sequence[str]]:
        """Row label → the names or sentences in that row."""


@dataclass(frozen=True, slots=True)
class Banner:
    """The contents of the banner."""

    address: str
    rows: Mapping[str, Sequence[str]]
    commands: Sequence[tuple[str, str]]
    """What to try next: the command, and what it does."""

    @classmethod
    def from_suite(cls, suite: Suite) -> Banner:
        """The banner of a running suite."""
        rows: dict[str, Sequence[str]] = {}
        for application in suite.applications:
            rows["services"] = (*rows.get("services", ()), application.name.replace("_", " "))
            if isinstance(application, SelfDescribing):
                rows.update(application.describe())
        rows["access"] = (who_may_call(suite.settings, suite.address),)
        rows["engine"] = (str(suite.host.engine),)
        metrics = metrics_address(suite)
        rows["metrics"] = (metrics,) if metrics else ()
        return cls(suite.address, rows, next_steps(suite.settings, suite.host.port))

    def show(self, console: Console | None = None) -> None:
        """Prints the banner, with colours on a terminal."""
        console = console or Console(highlight=False, emoji=False, markup=False)
        head: list[str | tuple[str, str]] = [
            ("Clawdbot", "bold cyan"),
            f" {version('clawdbot-cli')} is serving on ",
            (self.address, "bold"),
        ]
        console.print(Text.assemble("\n", *head, ("  (Ctrl-C drains and stops)", "dim"), "\n"))
        # soft_wrap: lines are not broken, so that they can be copied.
        for label, line in self._lines():
            console.print(Text.assemble("  ", (label.ljust(LABEL_WIDTH), "dim"), line), soft_wrap=True)
        console.print(Text("\n  Try next", "bold"))
        for command, purpose in self.commands:
            console.print(
                Text.assemble("    ", (command, "green"), (f"  # {purpose}", "dim")), soft_wrap=True
            )
        console.print()

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Label and text of each line. Names share a line; each sentence has its own."""
        others = [label for label in self.rows if label not in ROW_ORDER and label not in HIDDEN_ROWS]
        for label in (*ROW_ORDER, *others):
            values = self.rows.get(label, ())
            lines = (", ".join(values),) if label in NAME_ROWS and values else values
            for position, line in enumerate(lines):
                yield "" if position else label, line


def who_may_call(settings: SharedSettings, address: str) -> str:
    """Whom the server lets in.

    Args:
        settings: how it listens, and its keys.
        address: where it listens.
    """
    if settings.auth.keys:
        return "anyone with a key from auth.keys, within its scopes"
    if settings.auth.requires_key():
        return "only services with the service token; configure auth.keys for others"
    if sockets.is_loopback(settings.server.host):
        return "anyone on this machine, admin calls included"
    certificate = " with a certificate of its CA" if settings.tls.client_ca_file is not None else ""
    return f"anyone who can reach {address}{certificate} may talk; admin calls only from this machine"


def metrics_address(suite: Suite) -> str:
    """The URL for Prometheus; empty where metrics are off."""
    port = suite.host.metrics_port
    if port is None and suite.settings.server.workers > 1:
        port = suite.settings.telemetry.metrics_port  # the supervisor serves the metrics of all workers
    host = connectable_host(suite.settings.server.host)
    return f"http://{sockets.target(host, port)}/metrics" if port else ""
