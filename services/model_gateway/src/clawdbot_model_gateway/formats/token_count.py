"""Decodes the count of a request's tokens, which vendors return as one field."""

from __future__ import annotations

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.vendor_json import count_in


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
        count = count_in(orjson.loads(body), field)
    except ValueError:
        count = 0
    if not count:
        raise ProtocolViolation(f"{call} returned no token count")
    return count
