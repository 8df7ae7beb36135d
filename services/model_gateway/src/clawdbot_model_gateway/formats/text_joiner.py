"""Joins characters that a vendor cuts in two: half a surrogate pair, or some bytes, in each piece of text."""

from __future__ import annotations

import re
from typing import Any, Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What is no byte: surrogateescape writes the bytes 80 to FF as U+DC80 to U+DCFF."""
_CUT_AT_END: Final = re.compile(
    "(?:[\ud800-\udbff]"
    "|(?<![\ud800-\udbff])(?:[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2}))\\Z"
)
"""The first half of a pair, or the first bytes of a character."""


class TextJoiner:
    """The pieces of one text. What it returns is well-formed; it keeps the beginning of a cut character."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = ""

    def add(self, piece: str) -> str:
        """What is complete with this piece."""
        if not self._kept and is_well_formed(piece):
            return piece
        text = self._kept + piece
        cut = _CUT_AT_END.search(text)
        self._kept = cut[0] if cut else ""
        return well_formed(text[: cut.start()] if cut else text)

    def end(self) -> str:
        """U+FFFD for a character whose rest never came."""
        kept, self._kept = self._kept, ""
        return REPLACEMENT if kept else ""


def is_well_formed(text: str) -> bool:
    """Whether it contains no surrogate, as nearly every text: protobuf refuses those that do."""
    return text.isascii() or not _SURROGATE.search(text)


def well_formed(text: str) -> str:
    """The text with its pairs and bytes joined; each surrogate that is left becomes U+FFFD."""
    if is_well_formed(text):
        return text
    joined = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _HALF.sub(REPLACEMENT, joined).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def well_formed_json(value: Any) -> Any:
    """The value with all its texts well-formed."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): well_formed_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [well_formed_json(each) for each in value]
    return value
