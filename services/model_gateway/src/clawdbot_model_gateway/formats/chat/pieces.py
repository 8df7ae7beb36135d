"""Puts a text together from its pieces: some servers send all of it with each of them."""

from __future__ import annotations

import re
from typing import Final

MIN_REPEATED: Final = 20
"""Characters of a text that a last piece repeats if it begins with all of them: no token is as long."""
_WORD: Final = re.compile(r"[^\W\d_]{3}")
"""What a first piece contains that no text says twice without a space, as it may say "ha" or "1"."""


class Pieces:
    """The pieces of one text.

    The second piece may begin with the first, and so may any text. The third one tells: it begins with the
    second if the pieces grow. Until then the second is held.
    """

    __slots__ = ("_grows", "_held", "_settled", "came")

    def __init__(self) -> None:
        self.came: list[str] = []
        """What each piece has added."""
        self._held = ""
        self._grows = False
        self._settled = False
        """Whether it is known if they grow."""

    def __bool__(self) -> bool:
        """Whether any has come."""
        return bool(self.came)

    def add(self, piece: str) -> str:
        """What the piece adds to the text."""
        if not self._settled:
            piece = self._first(piece)
        elif self._grows:
            rest = self.rest_of(piece)
            piece = piece if rest is None else rest
        if piece:
            self.came.append(piece)
        return piece

    def add_rest(self, whole: str) -> str:
        """What all of the text adds to its pieces; what was held if it is another text."""
        held, self._held, self._settled = self._held, "", True
        rest = self.rest_of(whole)
        added = held if rest is None else rest
        self.came.append(added)
        return added

    def end(self) -> str:
        """What is left where no third piece has come, or none before something else."""
        if not self._held:
            return ""
        first, held = self.came[0], self._held
        self._grows = _WORD.search(first) is not None
        return self.add_rest(held if self._grows else first + held)

    def rest_of(self, whole: str) -> str | None:
        """What a text has beyond the pieces, which may cut a character in two; None if it is another one."""
        came, text = ("".join(each).encode("utf-16-le", "surrogatepass") for each in (self.came, whole))
        return text[len(came) :].decode("utf-16-le", "surrogatepass") if text.startswith(came) else None

    def are_repeated_in(self, piece: str) -> bool:
        """Whether a last piece is all of the text once more."""
        long = len(piece) >= MIN_REPEATED and len(self.came) > 1
        return long and sum(map(len, self.came)) >= MIN_REPEATED and self.rest_of(piece) is not None

    def _first(self, piece: str) -> str:
        """The same for one of the first pieces."""
        if not piece or not self.came:
            return piece
        first = self.came[0]
        held, self._held = self._held, ""
        if not held and len(piece) > len(first) and piece.startswith(first):
            self._held = piece
            return ""
        # Code may begin with white space in pieces that become longer.
        self._settled, self._grows = True, bool(held.strip()) and piece.startswith(held)
        return piece[len(first) :] if self._grows else held + piece
