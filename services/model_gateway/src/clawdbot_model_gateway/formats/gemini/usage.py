"""Decodes usageMetadata. Gemini counts thoughts apart from the reply; both are output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clawdbot.common.v1.usage_pb2 import Usage

from clawdbot_model_gateway.formats.vendor_json import as_object, count_in


def merge_counts(merged: dict[str, Any], counts: Any) -> None:
    """Adds a chunk's usageMetadata: totals so far, of which it may repeat some, or report 0 for them."""
    for name, value in as_object(counts).items():
        if isinstance(value, list) or count_in(counts, name) > count_in(merged, name):
            merged[name] = value


def decode_usage(counts: Mapping[str, Any]) -> Usage:
    """The usage of one reply.

    Args:
        counts: usageMetadata, merged from all chunks.
    """
    thoughts = count_in(counts, "thoughtsTokenCount")
    return Usage(
        # What the vendor's own tools added to the prompt is billed as prompt and counted apart.
        input_tokens=count_in(counts, "promptTokenCount") + count_in(counts, "toolUsePromptTokenCount"),
        cached_tokens=count_in(counts, "cachedContentTokenCount"),
        output_tokens=count_in(counts, "candidatesTokenCount") + thoughts,
        reasoning_tokens=thoughts,
        audio_tokens=_audio_tokens(counts, "promptTokensDetails")
        + _audio_tokens(counts, "candidatesTokensDetails"),
    )


def _audio_tokens(counts: Mapping[str, Any], name: str) -> int:
    details = counts.get(name)
    return sum(
        count_in(detail, "tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("modality") == "AUDIO"
    )
