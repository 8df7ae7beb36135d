"""Keeps OpenRouter's `reasoning_details`, which the vendors behind it demand back with a call and its result.

They contain what is signed or encrypted, in pieces in a stream. As the signature of our messages they have a
prefix that marks them as OpenRouter's: nobody else takes them.
Source: OpenRouter, "Reasoning tokens", on preserving reasoning.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from clawdbot_model_gateway.formats.text_joiner import well_formed_json
from clawdbot_model_gateway.formats.vendor_json import as_string, dump_exactly

PREFIX: Final = b"openrouter:"
GROWING: Final = ("text", "summary", "data", "signature")
"""Fields that come in pieces."""
OPAQUE: Final = ("data", "signature")
"""Fields that make a detail worth keeping: a bare text goes back as reasoning."""


class ReasoningDetails:
    """The details of one reply, as their pieces arrive."""

    def __init__(self) -> None:
        self._details: dict[Any, dict[str, Any]] = {}

    def add(self, pieces: Any) -> None:
        """Adds the pieces of one chunk."""
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict):
                continue
            key = piece.get("index", len(self._details)), piece.get("type"), piece.get("id")
            detail = self._details.setdefault(key if _is_hashable(key) else len(self._details), {})
            grown = {
                name: as_string(detail.get(name)) + piece[name]
                for name in GROWING
                if isinstance(piece.get(name), str)
            }
            detail.update({**{name: each for name, each in piece.items() if each is not None}, **grown})

    def signature(self) -> bytes:
        """The details as our messages carry them; empty if nothing in them is opaque."""
        details = [*self._details.values()]
        if not any(detail.get(name) for detail in details for name in OPAQUE):
            return b""
        return PREFIX + dump_exactly(well_formed_json(details)).encode()


def unwrap(signature: bytes) -> list[Any]:
    """The details of a signature; empty if it is another vendor's."""
    if not signature.startswith(PREFIX):
        return []
    try:
        details = orjson.loads(signature.removeprefix(PREFIX))
    except orjson.JSONDecodeError:
        return []
    return details if isinstance(details, list) else []


def _is_hashable(key: tuple[Any, ...]) -> bool:
    return all(each is None or isinstance(each, int | str) for each in key)
