"""Decodes the response of countTokens."""

from __future__ import annotations

import orjson

from clawdbot_model_gateway.core.errors import ProtocolViolation


def decode_total_tokens(body: bytes) -> int:
    """The count.

    Raises:
        ProtocolViolation: there is none.
    """
    try:
        total = orjson.loads(body)["totalTokens"]
    except (ValueError, TypeError, KeyError):
        total = None
    if not isinstance(total, int) or total < 0:
        raise ProtocolViolation("countTokens returned no token count")
    return total
