"""Puts bodies in another character set than UTF-8 into UTF-8, if their content type names it.

JSON and event streams are UTF-8 by definition. Some servers write in their platform's default, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_NAME: Final = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_WIDER: Final[Mapping[str, str]] = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987"), "cp949"),
}
"""Name → the set that servers mean with it, which contains the named one (WHATWG Encoding, 4.2)."""


@lru_cache(maxsize=64)
def charset_of(content_type: str) -> str:
    """The character set that a content type names; empty for UTF-8, and if there is none."""
    found = _NAME.search(content_type)
    name = "" if found is None else found[1].lower()
    return "" if name in {"utf-8", "utf8", "us-ascii", "ascii"} else _WIDER.get(name, name)


def in_utf8(data: bytes, charset: str) -> bytes:
    """The text in UTF-8. What is UTF-8 stays as it is: some servers name a set that they do not use."""
    if not charset or (_is_utf8(data) and b"\0" not in data):
        return data
    try:
        return data.decode(charset, "replace").encode()
    except (LookupError, ValueError):
        return data  # No such set.


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
