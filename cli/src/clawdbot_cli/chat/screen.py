"""What the chat writes to the terminal or a pipe: streamed replies, and the lines around them.

It knows styles and line breaks, not turns. All text passes through `sanitize`; rich's markup, emoji codes and
highlighting are off, so that text stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from clawdbot_cli.chat.word_wrap import WordWrapper
from clawdbot_cli.sanitize import sanitize

ASIDE: Final = "dim"
REASONING: Final = "dim italic"
REPLY: Final = ""
NOTE: Final = "dim"
WARNING: Final = "yellow"
ERROR: Final = "red"
USER: Final = "bold cyan"

PROMPT: Final = "you › "
"""Precedes the person's messages."""


class Screen:
    """Writes to two consoles: the conversation, and notes about it."""

    def __init__(self, out: Console, notes: Console) -> None:
        """Args: out: the conversation; notes: notes and errors. On a terminal both are the same."""
        self._out = out
        self._notes = notes
        self._wrapper = WordWrapper()
        self._style: str | None = None
        """Of the open line; None at the start of a line."""

    @classmethod
    def standard(cls, *, interactive: bool) -> Screen:
        """The terminal of a person; for a pipe, stdout and, for notes, stderr."""
        out = _console()
        return cls(out, out if interactive else _console(stderr=True))

    def stream(self, text: str, style: str = REPLY) -> None:
        """The next chunk of streamed text; the line stays open."""
        if self._style not in (None, style):
            self.end_line()
        shown = sanitize(text)
        if shown:
            self._style = style
            self._put(self._wrapper.feed(shown, self._out.width) if self._out.is_terminal else shown)
            if shown.endswith("\n"):
                self._style = None

    def end_line(self) -> None:
        """Ends the line if it is open."""
        if self._style is not None:
            self._put(self._wrapper.flush(self._out.width))
            self._out.out("", end="\n")
        self._wrapper.column = 0
        self._style = None

    def line(self, text: str = "", style: str = REPLY) -> None:
        """A line of the conversation."""
        self.end_line()
        _write(self._out, sanitize(text), style)

    def note(self, text: str, style: str = NOTE) -> None:
        """A line about the conversation."""
        self.end_line()
        _write(self._notes, sanitize(text), style)

    def command(self, text: str) -> None:
        """A command line to be copied: it is not wrapped."""
        self.end_line()
        self._notes.out(f"  {sanitize(text)}", style=NOTE, highlight=False)

    def _put(self, text: str) -> None:
        if text:
            self._out.out(text, style=self._style or None, highlight=False, end="")

    def error(self, text: str) -> None:
        """An error message."""
        self.note(text, ERROR)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows in columns; the first column is bold."""
        cells = [[sanitize(cell) for cell in row] for row in rows]
        widths = [max(map(cell_len, column)) for column in zip_longest(*cells, fillvalue="")]
        self.end_line()
        for first, *rest in cells:
            padded = [set_cell_size(cell, width) for cell, width in zip(rest, widths[1:], strict=False)]
            line = Text.assemble((set_cell_size(first, widths[0]), "bold"), "  ", "  ".join(padded))
            line.rstrip()
            self._out.print(line, soft_wrap=True)


def _write(console: Console, text: str, style: str) -> None:
    """A whole line, wrapped between words on a terminal; a pipe has no width."""
    if console.is_terminal:
        wrapper = WordWrapper()
        text = wrapper.feed(text, console.width) + wrapper.flush(console.width)
    console.out(text, style=style or None, highlight=False)


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
