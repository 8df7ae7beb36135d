"""Reasoning items' encrypted thoughts as our signatures, and back.

The wire wants an item's id beside its encrypted content, so both are kept; the prefix tells them from the
signatures of other vendors, which a conversation that changed its model brings along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "openai"
PARTS: Final = 3


def keep(item: Mapping[str, Any]) -> bytes:
    """The signature of a reasoning item; empty where there is nothing to send back."""
    name, content = item.get("id"), item.get("encrypted_content")
    if not isinstance(content, str) or not content or not isinstance(name, str) or ":" in name:
        return b""
    return f"{PREFIX}:{name}:{content}".encode("utf-8", "replace")


def give_back(signature: bytes, text: str) -> dict[str, Any] | None:
    """The reasoning item of a signature; None where it is not OpenAI's.

    Args:
        signature: what `keep` gave.
        text: the summary that was shown.
    """
    found = signature.decode("utf-8", "replace").split(":", PARTS - 1)
    if len(found) != PARTS or found[0] != PREFIX:
        return None
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": found[1], "summary": summary, "encrypted_content": found[2]}
