"""Pages of a sorted list (AIP-158). A token is the last name told: it survives changes of the list."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from clawdbot_servicekit.faults import InvalidRequest

USUAL: Final = 50
LARGEST: Final = 500
_MARK: Final = b"after:"

T = TypeVar("T")


def page(items: Mapping[str, T], size: int, token: str) -> tuple[list[T], str]:
    """One page and the token of the next one, empty at the end.

    Args:
        items: by name, in the order of names.
        size: 0 for the usual one; more than the largest is the largest.
        token: of the page before; empty for the first.

    Raises:
        InvalidRequest: for a negative size or a token that is none of ours.
    """
    if size < 0:
        raise InvalidRequest.of("page_size", "must not be negative.")
    after = _read(token)
    wanted = min(size or USUAL, LARGEST)
    names = [name for name in items if name > after]
    chosen = names[:wanted]
    return [items[name] for name in chosen], _token(chosen) if len(names) > wanted else ""


def _token(names: Iterable[str]) -> str:
    *_, last = names
    return base64.urlsafe_b64encode(_MARK + last.encode()).decode()


def _read(token: str) -> str:
    if not token:
        return ""
    try:
        read = base64.b64decode(token, altchars=b"-_", validate=True)
        if not read.startswith(_MARK):
            raise ValueError("not one of ours")
        return read.removeprefix(_MARK).decode()
    except ValueError:
        raise InvalidRequest.of("page_token", "is not a token that a page of this list gave.") from None
