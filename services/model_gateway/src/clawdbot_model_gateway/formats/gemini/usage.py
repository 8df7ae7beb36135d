"""Decodes usageMetadata. Gemini counts thoughts apart from the reply; both are output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage

MAX_COUNT: Final = 2**53
"""Tokens. A larger number is not a count."""


def decode_usage(counts: Mapping[str, Any], *, partial: bool) -> Usage:
    """The usage of one reply.

    Args:
        counts: usageMetadata, merged from all chunks.
        partial: whether the reply broke off, so that the real counts may be higher.
    """
    thoughts = decode_count(counts, "thoughtsTokenCount")
    return Usage(
        # What the vendor's own tools added to the prompt is billed as prompt and counted apart.
        input_tokens=decode_count(counts, "promptTokenCount")
        + decode_count(counts, "toolUsePromptTokenCount"),
        cached_tokens=decode_count(counts, "cachedContentTokenCount"),
        output_tokens=decode_count(counts, "candidatesTokenCount") + thoughts,
        reasoning_tokens=thoughts,
        audio_tokens=_audio_tokens(counts, "promptTokensDetails")
        + _audio_tokens(counts, "candidatesTokensDetails"),
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )


def decode_count(counts: Mapping[str, Any], name: str) -> int:
    """One count; 0 if it is missing or not a count."""
    value = counts.get(name)
    return value if isinstance(value, int) and 0 <= value < MAX_COUNT else 0


def _audio_tokens(counts: Mapping[str, Any], name: str) -> int:
    details = counts.get(name)
    return sum(
        decode_count(detail, "tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("modality") == "AUDIO"
    )
