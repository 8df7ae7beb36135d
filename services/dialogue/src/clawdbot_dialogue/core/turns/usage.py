"""Adds up what several generations of one turn cost."""

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
    """Adds to the total. Its provenance is the least certain one: the enum's numbers grow with doubt."""
    for name in COUNTS:
        setattr(total, name, getattr(total, name) + getattr(more, name))
    total.provenance = max(total.provenance, more.provenance)
