"""What `clawdbot up` says once it serves: what runs where, and what to try next.

The facts come from the suite itself. It goes to stdout; stderr is the log's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from clawdbot_servicekit import ports
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clawdbot_cli.next_steps import next_steps

if TYPE_CHECKING:
    from clawdbot_cli.suite import Suite

ORDER: Final = ("services", "store", "models", "flows", "plugins", "hooks")
"""The first rows; others that a service has follow."""
UNSAID: Final = frozenset({"tools"})
"""What a service tells and a banner has no room for."""

PIPE_WIDTH: Final = 10_000
"""Columns where nobody looks: lines must not be broken where a program reads them."""


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
        console = console or _console()
        head: list[str | tuple[str, str]] = [
            ("Clawdbot", "bold cyan"),
            f" {version('clawdbot-cli')} serves on ",
            (self.address, "bold"),
        ]
        console.print(Text.assemble("\n", *head, ("  (Ctrl-C drains and ends)", "dim"), "\n"))
        console.print(self._facts())
        console.print(Text("\n  Try next", "bold"))
        for command, purpose in self.commands:
            # Not broken at the terminal's width: it is there to be copied.
            console.print(
                Text.assemble("    ", (command, "green"), (f"  # {purpose}", "dim")), soft_wrap=True
            )
        console.print()

    def _facts(self) -> Table:
        table = Table.grid(padding=(0, 2), pad_edge=True)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        others = [label for label in self.rows if label not in ORDER and label not in UNSAID]
        for label in (*ORDER, *others):
            if values := self.rows.get(label):
                # Names stand side by side; sentences have a line each.
                separator = "\n" if any(" " in each for each in values) else ", "
                table.add_row(label, Text(separator.join(values)))
        return table


def metrics_address(suite: Suite) -> str:
    """Where Prometheus finds the metrics; empty where they are off."""
    port = suite.host.metrics_port
    if port is None and suite.settings.server.workers > 1:
        port = suite.settings.telemetry.metrics_port  # the supervisor shows those of all workers
    return f"http://{ports.target(suite.settings.server.host, port)}/metrics" if port else ""


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console
