"""Page sizes and page tokens (AIP-158). A token names its list and the cursor where the next page starts."""

from __future__ import annotations

import base64
import bisect
from collections.abc import Sequence
from typing import Final

from clawdbot_servicekit.errors import InvalidRequest

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500
MAX_CURSOR: Final = 2**63
"""SQLite's integers are smaller."""


def page_bounds(names: Sequence[str], list_name: str, size: int, token: str) -> tuple[Sequence[str], str]:
    """The names of one page and the token of the next, empty on the last page.

    Tokens stay valid when the list changes.

    Args:
        names: all of them, sorted, none empty.
        list_name: identifies the list in its tokens.
        size: the request's page_size.
        token: the request's page_token.

    Raises:
        InvalidRequest: for a negative size or a token of another list.
    """
    length, last_seen = page_size(size), text_cursor(list_name, token)
    start = bisect.bisect_right(names, last_seen) if last_seen else 0
    end = start + length
    page = names[start:end]
    return page, page_token(list_name, page[-1] if end < len(names) else None)


def page_size(requested: int) -> int:
    """The number of items on a page: DEFAULT_PAGE_SIZE for 0, never more than MAX_PAGE_SIZE.

    Raises:
        InvalidRequest: it is negative.
    """
    if requested < 0:
        raise InvalidRequest.of("page_size", "must not be negative.")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def page_token(list_name: str, cursor: str | int | None) -> str:
    """The token of the page that starts at a cursor; empty for None.

    Args:
        list_name: a token of another list is refused.
        cursor: where the page starts; the list defines what it means.
    """
    if cursor is None:
        return ""
    return base64.urlsafe_b64encode(f"{list_name}:{cursor}".encode()).decode().rstrip("=")


def text_cursor(list_name: str, token: str) -> str:
    """The cursor in a token; empty for the first page.

    Raises:
        InvalidRequest: it is not a token of this list.
    """
    if not token:
        return ""
    try:
        padded = token + "=" * (-len(token) % 4)
        name, colon, cursor = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except ValueError:
        name, colon, cursor = "", "", ""
    if name != list_name or not colon or not cursor:
        raise InvalidRequest.of("page_token", "is not a page token of this list.")
    return cursor


def number_cursor(list_name: str, token: str) -> int | None:
    """The cursor in a token of a list with numeric cursors; None for the first page.

    Raises:
        InvalidRequest: it is not a token of this list.
    """
    cursor = text_cursor(list_name, token)
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20 and int(cursor) < MAX_CURSOR):
        raise InvalidRequest.of("page_token", "is not a page token of this list.")
    return int(cursor)
