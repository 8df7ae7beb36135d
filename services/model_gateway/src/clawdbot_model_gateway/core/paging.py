"""A page of a sorted list. Its token names the last entry seen, and so survives changes of the list."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Sequence
from typing import Final

from clawdbot_servicekit.faults import InvalidRequest

DEFAULT_PAGE: Final = 50
LARGEST_PAGE: Final = 500


def page_of(names: Sequence[str], size: int, token: str) -> tuple[Sequence[str], str]:
    """The names of one page and the token of the next, empty on the last.

    Args:
        names: all of them, sorted.
        size: how many are wanted; 0 for the default, more than the largest gives the largest.
        token: of the page before, or empty.

    Raises:
        InvalidRequest: a negative size, or a token that is none of ours.
    """
    if size < 0:
        raise InvalidRequest.of("page_size", "Must not be negative.")
    begin = bisect.bisect_right(names, _last_seen(token)) if token else 0
    end = begin + min(size or DEFAULT_PAGE, LARGEST_PAGE)
    page = names[begin:end]
    return page, _token(page[-1]) if end < len(names) else ""


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _last_seen(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest.of("page_token", "Must be the next_page_token of an earlier reply.") from None
