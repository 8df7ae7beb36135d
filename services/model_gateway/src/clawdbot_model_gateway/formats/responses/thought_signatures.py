"""Wraps the encrypted content of reasoning items as signatures of our messages, and unwraps it.

The API requires an item's id next to its encrypted content, so the signature contains both. The prefix marks
it as OpenAI's: a conversation that changed its model brings other vendors' signatures along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "openai"
PARTS: Final = 3
"""Prefix, id and content, separated by colons."""


def wrap(item: Mapping[str, Any]) -> bytes:
    """The signature of a reasoning item; empty if it has no encrypted content to send back."""
    item_id, content = item.get("id"), item.get("encrypted_content")
    if not isinstance(content, str) or not content or not isinstance(item_id, str) or ":" in item_id:
        return b""
    return f"{PREFIX}:{item_id}:{content}".encode("utf-8", "replace")


def unwrap(signature: bytes, summary: str) -> dict[str, Any] | None:
    """The reasoning item of a signature; None if it is not OpenAI's.

    Args:
        signature: what `wrap` returned.
        summary: the summary that was shown.
    """
    parts = signature.decode("utf-8", "replace").split(":", PARTS - 1)
    if len(parts) != PARTS or parts[0] != PREFIX:
        return None
    summaries = [{"type": "summary_text", "text": summary}] if summary else []
    return {"type": "reasoning", "id": parts[1], "summary": summaries, "encrypted_content": parts[2]}
