"""Page sizes and page tokens (AIP-158). A token says of which list it is, and where the next page begins."""

from __future__ import annotations

import base64
import bisect
from collections.abc import Sequence
from typing import Final

from clawdbot_servicekit.errors import InvalidRequest

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500
STORABLE: Final = 2**63
"""Databases count to here."""


def page_bounds(names: Sequence[str], of: str, size: int, given: str) -> tuple[Sequence[str], str]:
    """The names of one page and the token of the next, empty on the last. It survives changes of the list.

    Args:
        names: all of them, sorted, none empty.
        of: the list's name.
        size: as a request has it.
        given: the request's token.

    Raises:
        InvalidRequest: for a negative size or a token that is not of this list.
    """
    wanted, last_seen = page_size(size), text_place(of, given)
    begin = bisect.bisect_right(names, last_seen) if last_seen else 0
    end = begin + wanted
    page = names[begin:end]
    return page, page_token(of, page[-1] if end < len(names) else None)


def page_size(given: int) -> int:
    """How many items a page has: the usual number for 0, never more than the largest.

    Raises:
        InvalidRequest: it is negative.
    """
    if given < 0:
        raise InvalidRequest.of("page_size", "must not be negative.")
    return min(given or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def page_token(of: str, place: str | int | None) -> str:
    """The token of a list's page that begins at a place; empty where there is none.

    Args:
        of: the list's name: a token of another one is refused.
        place: where the page begins, as the list itself counts.
    """
    if place is None:
        return ""
    return base64.urlsafe_b64encode(f"{of}:{place}".encode()).decode().rstrip("=")


def text_place(of: str, given: str) -> str:
    """The place that a token names; empty for the first page.

    Raises:
        InvalidRequest: it is not a token of this list.
    """
    if not given:
        return ""
    try:
        padded = given + "=" * (-len(given) % 4)
        name, mark, place = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except ValueError:
        name, mark, place = "", "", ""
    if name != of or not mark or not place:
        raise InvalidRequest.of("page_token", "is not a token that a page of this list gave.")
    return place


def number_place(of: str, given: str) -> int | None:
    """The place that a token names, where the list counts; None for the first page.

    Raises:
        InvalidRequest: it is not a token of this list.
    """
    place = text_place(of, given)
    if not place:
        return None
    if not (place.isascii() and place.isdecimal() and len(place) < 20 and int(place) < STORABLE):
        raise InvalidRequest.of("page_token", "is not a token that a page of this list gave.")
    return int(place)
