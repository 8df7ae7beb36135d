"""Wraps streamed text between words at the terminal's width.

A terminal itself breaks lines anywhere. The price of wrapping: the last word is held back until something
follows it.
"""

from __future__ import annotations

from rich.cells import cell_len

WIDE_CELLS = 2
"""Cells of a character after which a line may break: Chinese, Japanese, Korean, most emoji."""


class WordWrapper:
    """Wraps one column of text."""

    def __init__(self) -> None:
        self.column = 0
        """Cells used on the current line."""
        self._word = ""

    def feed(self, text: str, width: int) -> str:
        """What can be shown after this chunk.

        Args:
            text: the next chunk.
            width: cells of a line.
        """
        shown: list[str] = []
        for each in text:
            if each == "\n":
                shown += (self.flush(width), each)
                self.column = 0
            elif each.isspace():
                shown += (self.flush(width), self._space(each, width))
            elif cell_len(each) >= WIDE_CELLS:
                shown.append(self.flush(width))
                self._word = each
                shown.append(self.flush(width))
            else:
                self._word += each
                if cell_len(self._word) >= width:
                    shown.append(self.flush(width))
        return "".join(shown)

    def flush(self, width: int) -> str:
        """The word that was held back, on a new line if it does not fit on this one."""
        word, self._word = self._word, ""
        if not word:
            return ""
        size = cell_len(word)
        fits = self.column + size <= width
        self.column = size + (self.column if fits else 0)
        return word if fits else f"\n{word}"

    def _space(self, space: str, width: int) -> str:
        """White space within the line; at the end of the line, the line break replaces it."""
        size = 8 - self.column % 8 if space == "\t" else 1
        if self.column + size > width:
            return ""
        self.column += size
        return space
