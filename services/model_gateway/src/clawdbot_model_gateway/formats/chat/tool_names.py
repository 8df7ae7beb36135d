"""Maps tools' full names ("tables.reserve") to the 64 letters, digits, _ and - of the wire, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from clawdbot_model_gateway.formats.text_joiner import well_formed

MAX_NAME_LENGTH: Final = 64
"""Characters, as Chat Completions allows them."""
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_MORE: Final = re.compile(r"\A\s*((functions?|default_api|tools?)[.:])?|(:\d+|<\|.*)?\s*\Z", re.DOTALL)
"""What models write around a name where their server does not take it off: OpenAI's, Gemini and Kimi."""
_NOT_LETTERS: Final = frozenset("0123456789-")


class ToolNames:
    """The names of one request's tools, in both directions. Names of other tools keep their own form."""

    def __init__(self, names: Iterable[str], *, letter_first: bool = False) -> None:
        """Args: letter_first: whether a name must begin with a letter or _, as Gemini requires."""
        self._letter_first = letter_first
        self._to_wire: dict[str, str] = {}
        self._from_wire: dict[str, str] = {}
        for name in names:
            wire = wire_name(name, letter_first=letter_first)
            if wire in self._from_wire:
                # "a.b" and "a_b" in one request.
                wire = _with_digest(wire, name)
            self._to_wire[name] = wire
            self._from_wire[wire] = name

    def to_wire(self, name: str) -> str:
        """The name that the vendor sees, also for a tool of an earlier turn that this request lacks."""
        return self._to_wire.get(name) or wire_name(name, letter_first=self._letter_first)

    def is_known(self, wire: str) -> bool:
        """Whether the request has a tool of this name."""
        return wire in self._from_wire

    def is_cut(self, wire: str) -> bool:
        """Whether the name of one of the request's tools begins like this, and goes on."""
        return any(each != wire and each.startswith(wire) for each in self._from_wire)

    def from_wire(self, wire: str) -> str:
        """The full name; a name that the model made up stays as it is, unless it is a known one with more."""
        return self._from_wire.get(wire) or self._from_wire.get(_MORE.sub("", wire)) or well_formed(wire)


def wire_name(name: str, *, letter_first: bool = False) -> str:
    """An allowed name, the same one every time."""
    clean = _FORBIDDEN.sub("_", name)
    if letter_first and clean[:1] in _NOT_LETTERS:
        clean = f"_{clean}"
    return clean if len(clean) <= MAX_NAME_LENGTH else _with_digest(clean, name)


def _with_digest(clean: str, name: str) -> str:
    """Shortened, and made unique by a digest of the full name."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{clean[: MAX_NAME_LENGTH - 9]}_{digest}"
