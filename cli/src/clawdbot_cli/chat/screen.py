"""What the chat puts on the terminal, or into a pipe: replies as they come, and the lines around them.

It knows styles and line breaks, not turns. Everything that others wrote passes through `plain` here; markup,
emoji codes and highlighting of rich are off, so that text stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from clawdbot_cli.chat.word_wrap import Wrapping
from clawdbot_cli.sanitize import harmless

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
        self._wrapping = Wrapping()
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
            self._style = style
            self._put(self._wrapping.feed(shown, self._out.width) if self._out.is_terminal else shown)
            if shown.endswith("\n"):
                self._style = None

    def end_line(self) -> None:
        """Ends the line if it is open."""
        if self._style is not None:
            self._put(self._wrapping.flush(self._out.width))
            self._out.out("", end="\n")
        self._wrapping.column = 0
        self._style = None

    def line(self, text: str = "", style: str = REPLY) -> None:
        """A line of the conversation."""
        self.end_line()
        _write(self._out, harmless(text), style)

    def note(self, text: str, style: str = NOTICE) -> None:
        """A line about the conversation."""
        self.end_line()
        _write(self._notes, harmless(text), style)

    def command(self, text: str) -> None:
        """A line to be copied: never broken."""
        self.end_line()
        self._notes.out(f"  {harmless(text)}", style=NOTICE, highlight=False)

    def _put(self, text: str) -> None:
        if text:
            self._out.out(text, style=self._style or None, highlight=False, end="")

    def error(self, text: str) -> None:
        """What did not work, as a sentence."""
        self.note(text, ERROR)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows in columns; the first one stands out."""
        cells = [[harmless(cell) for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip_longest(*cells, fillvalue="")]
        self.end_line()
        for first, *rest in cells:
            padded = [set_cell_size(cell, width) for cell, width in zip(rest, widths[1:], strict=False)]
            line = Text.assemble((set_cell_size(first, widths[0]), "bold"), "  ", "  ".join(padded))
            line.rstrip()
            self._out.print(line, soft_wrap=True)


def _write(console: Console, text: str, style: str) -> None:
    """A whole line, broken between words where somebody looks at it; a pipe has no width."""
    if console.is_terminal:
        wrapping = Wrapping()
        text = wrapping.feed(text, console.width) + wrapping.flush(console.width)
    console.out(text, style=style or None, highlight=False)


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
