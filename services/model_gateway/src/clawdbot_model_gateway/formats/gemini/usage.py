"""usageMetadata as Usage. What a model thinks is counted apart from its reply, and is output all the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage

LARGEST_COUNT: Final = 2**53
"""Tokens. What is larger is no count."""


def usage_of(counts: Mapping[str, Any], *, partial: bool) -> Usage:
    """The counts of one reply.

    Args:
        counts: usageMetadata, its pieces put together.
        partial: whether the reply broke off, so that there may be more.
    """
    thoughts = count(counts, "thoughtsTokenCount")
    return Usage(
        # What tools of the vendor's own added to the prompt is billed as prompt and counted apart.
        input_tokens=count(counts, "promptTokenCount") + count(counts, "toolUsePromptTokenCount"),
        cached_tokens=count(counts, "cachedContentTokenCount"),
        output_tokens=count(counts, "candidatesTokenCount") + thoughts,
        reasoning_tokens=thoughts,
        audio_tokens=_sound(counts, "promptTokensDetails") + _sound(counts, "candidatesTokensDetails"),
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )


def count(counts: Mapping[str, Any], name: str) -> int:
    """One count; 0 where it is missing or none."""
    value = counts.get(name)
    return value if isinstance(value, int) and 0 <= value < LARGEST_COUNT else 0


def _sound(counts: Mapping[str, Any], name: str) -> int:
    details = counts.get(name)
    return sum(
        count(each, "tokenCount")
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("modality") == "AUDIO"
    )
