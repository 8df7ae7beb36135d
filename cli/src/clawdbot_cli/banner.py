"""What `clawdbot up` says once it serves: what runs where, and what to try next.

The facts come from the suite itself. It goes to stdout; stderr is the log's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from clawdbot_servicekit import sockets
from rich.console import Console
from rich.text import Text

from clawdbot_cli.addresses import reachable
from clawdbot_cli.next_steps import next_steps

if TYPE_CHECKING:
    from clawdbot_cli.suite import Suite

ORDER: Final = ("services", "store", "models", "flows", "plugins", "hooks")
"""The first rows; others that a service has follow."""
UNSAID: Final = frozenset({"tools"})
"""What a service tells and a banner has no room for."""

NAMES: Final = frozenset({"services", "flows", "plugins"})
"""Rows that hold names; the others hold sentences."""
LABEL: Final = 10
"""Columns of a row's label."""


@runtime_checkable
class Described(Protocol):
    """A service that has something for the banner."""

    def describe(self) -> Mapping[str, Sequence[str]]:
        """Row → what stands in it."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What there is to say."""

    address: str
    rows: Mapping[str, Sequence[str]]
    commands: Sequence[tuple[str, str]]
    """What to try next: the command, and what it does."""

    @classmethod
    def of(cls, suite: Suite) -> Banner:
        """The facts of a suite that serves."""
        rows: dict[str, Sequence[str]] = {}
        for application in suite.applications:
            rows["services"] = (*rows.get("services", ()), application.name.replace("_", " "))
            if isinstance(application, Described):
                rows.update(application.describe())
        metrics = metrics_address(suite)
        rows["metrics"] = (metrics,) if metrics else ()
        return cls(suite.address, rows, next_steps(suite.settings, suite.host.port))

    def show(self, console: Console | None = None) -> None:
        """Prints it: with colours to a terminal, plain elsewhere."""
        console = console or Console(highlight=False, emoji=False, markup=False)
        # soft_wrap: no line is broken, for they are there to be copied.
        head: list[str | tuple[str, str]] = [
            ("Clawdbot", "bold cyan"),
            f" {version('clawdbot-cli')} serves on ",
            (self.address, "bold"),
        ]
        console.print(Text.assemble("\n", *head, ("  (Ctrl-C drains and ends)", "dim"), "\n"))
        for label, line in self._lines():
            console.print(Text.assemble("  ", (label.ljust(LABEL), "dim"), line), soft_wrap=True)
        console.print(Text("\n  Try next", "bold"))
        for command, purpose in self.commands:
            console.print(
                Text.assemble("    ", (command, "green"), (f"  # {purpose}", "dim")), soft_wrap=True
            )
        console.print()

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Label and text of each line; names stand side by side, sentences below each other."""
        others = [label for label in self.rows if label not in ORDER and label not in UNSAID]
        for label in (*ORDER, *others):
            values = self.rows.get(label, ())
            lines = (", ".join(values),) if label in NAMES and values else values
            for position, line in enumerate(lines):
                yield "" if position else label, line


def metrics_address(suite: Suite) -> str:
    """Where Prometheus finds the metrics; empty where they are off."""
    port = suite.host.metrics_port
    if port is None and suite.settings.server.workers > 1:
        port = suite.settings.telemetry.metrics_port  # the supervisor shows those of all workers
    host = reachable(suite.settings.server.host)
    return f"http://{sockets.target(host, port)}/metrics" if port else ""
