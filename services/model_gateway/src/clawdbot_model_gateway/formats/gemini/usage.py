"""Decodes usageMetadata. Gemini counts thoughts apart from the reply; both are output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage

from clawdbot_model_gateway.formats.vendor_json import count_in


def decode_usage(counts: Mapping[str, Any], *, partial: bool) -> Usage:
    """The usage of one reply.

    Args:
        counts: usageMetadata, merged from all chunks.
        partial: whether the reply broke off, so that the real counts may be higher.
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
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )


def _audio_tokens(counts: Mapping[str, Any], name: str) -> int:
    details = counts.get(name)
    return sum(
        count_in(detail, "tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("modality") == "AUDIO"
    )
