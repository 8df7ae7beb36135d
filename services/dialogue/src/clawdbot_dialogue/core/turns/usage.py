"""Sums the token usage of several generations."""

from __future__ import annotations

from typing import Final

from clawdbot.common.v1.usage_pb2 import Usage

COUNTS: Final = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "cost_micros",
)


def add_usage(total: Usage, more: Usage) -> None:
    """Adds `more` to `total`, which takes the less certain provenance: the one with the larger number."""
    for name in COUNTS:
        setattr(total, name, getattr(total, name) + getattr(more, name))
    total.provenance = max(total.provenance, more.provenance)
