"""The section gateway.cache.semantic."""

from __future__ import annotations

from typing import Annotated

from clawdbot_servicekit.settings import Number, Seconds, Section, Whole
from pydantic import Field


class SemanticCacheSettings(Section):
    """Replies to requests that mean the same. Off where the section is missing."""

    model: Annotated[str, Field(min_length=1)]
    """The alias or target that computes embeddings."""
    tenants: Annotated[tuple[str, ...], Field(min_length=1)]
    """Who may use it, where the request asks for it; "*": all."""
    threshold: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Cosine similarity from which on two texts mean the same."""
    timeout: Annotated[Seconds, Field(gt=0)] = 0.5
    """How long a request waits for its embedding."""
    max_entries: Annotated[Whole, Field(ge=1, le=1_000_000)] = 10_000
    """Requests that a worker remembers; each takes about 4 KiB, with vectors of 384 numbers."""
