"""Decodes the count of a request's tokens, which vendors return as one field."""

from __future__ import annotations

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation


def decode_token_count(body: bytes, field: str, call: str) -> int:
    """The count.

    Args:
        body: of the response.
        field: that contains the count.
        call: that returned it, for the error.

    Raises:
        ProtocolViolation: there is none.
    """
    try:
        count = orjson.loads(body)[field]
    except (ValueError, TypeError, KeyError):
        count = None
    if not isinstance(count, int) or count < 0:
        raise ProtocolViolation(f"{call} returned no token count")
    return count
