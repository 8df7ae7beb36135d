"""What the chat puts on the terminal, or into a pipe: replies as they come, and the lines around them.

It knows styles and line breaks, not turns. Everything that others wrote passes through `plain` here; markup,
emoji codes and highlighting of rich are off, so that text stays text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clawdbot_cli.chat.plain import harmless

ASIDE: Final = "dim"
THOUGHT: Final = "dim italic"
REPLY: Final = ""
NOTICE: Final = "dim"
WARNING: Final = "yellow"
ERROR: Final = "red"
YOU: Final = "bold cyan"

MARK: Final = "you › "
"""What stands before the person's words."""


class Screen:
    """Writes to two consoles: the conversation, and what is said about it."""

    def __init__(self, out: Console, notes: Console) -> None:
        """Args: out: the conversation; notes: notices and errors. On a terminal both are the same."""
        self._out = out
        self._notes = notes
        self._style: str | None = None
        """Of the line that is not ended yet; None at the start of a line."""

    @classmethod
    def standard(cls, *, person: bool) -> Screen:
        """For a person at a terminal, or for a pipe: there, notes go to stderr."""
        out = _console()
        return cls(out, out if person else _console(stderr=True))

    def stream(self, text: str, style: str = REPLY) -> None:
        """The next piece of running text; the line stays open."""
        if self._style not in (None, style):
            self.end_line()
        shown = harmless(text)
        if shown:
            self._out.out(shown, style=style or None, highlight=False, end="")
            self._style = None if shown.endswith("\n") else style

    def end_line(self) -> None:
        """Ends the line if it is open."""
        if self._style is not None:
            self._out.out("", end="\n")
            self._style = None

    def line(self, text: str = "", style: str = REPLY) -> None:
        """A line of the conversation."""
        self.end_line()
        self._out.out(harmless(text), style=style or None, highlight=False)

    def note(self, text: str, style: str = NOTICE) -> None:
        """A line about the conversation."""
        self.end_line()
        self._notes.out(harmless(text), style=style or None, highlight=False)

    def error(self, text: str) -> None:
        """What did not work, as a sentence."""
        self.note(text, ERROR)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows in columns, without lines around them; the first column stands out."""
        self.end_line()
        table = Table.grid(padding=(0, 2))
        for position in range(max(map(len, rows), default=0)):
            table.add_column(style="bold" if position == 0 else "", overflow="fold")
        for row in rows:
            table.add_row(*(Text(harmless(cell)) for cell in row))
        self._out.print(table)


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width: lines must not be broken where somebody wants to search them.
    width = None if stream.isatty() else 10_000
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
