"""Tools' full names ("tables.reserve") in the 64 letters, digits, _ and - that Chat Completions allows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 64
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_LETTERS: Final = frozenset("0123456789-")


class ToolNames:
    """The names of one request's tools, in both directions. Names of other tools keep their own form."""

    def __init__(self, names: Iterable[str], *, letter_first: bool = False) -> None:
        """Args: letter_first: whether a name must begin with a letter or _, as Gemini demands."""
        self._letter_first = letter_first
        self._wire: dict[str, str] = {}
        self._full: dict[str, str] = {}
        for name in names:
            wire = wire_name(name, letter_first=letter_first)
            if wire in self._full:
                # "a.b" and "a_b" in one request.
                wire = _marked(wire, name)
            self._wire[name] = wire
            self._full[wire] = name

    def wire(self, name: str) -> str:
        """How the vendor sees the tool, also one of an earlier turn that the request does not offer."""
        return self._wire.get(name) or wire_name(name, letter_first=self._letter_first)

    def full(self, wire: str) -> str:
        """How we see it; what a model has made up stays as it is."""
        return self._full.get(wire, wire)


def wire_name(name: str, *, letter_first: bool = False) -> str:
    """A name that is allowed, the same one every time."""
    clean = _FORBIDDEN.sub("_", name)
    if letter_first and clean[:1] in _NO_LETTERS:
        clean = f"_{clean}"
    return clean if len(clean) <= LONGEST else _marked(clean, name)


def _marked(clean: str, name: str) -> str:
    """Shortened, and told apart by a digest of the full name."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{clean[: LONGEST - 9]}_{digest}"
