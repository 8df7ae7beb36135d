"""The section `gateway.cache`."""

from __future__ import annotations

from typing import Annotated, Literal

from clawdbot_servicekit.settings import Bytes, Number, Seconds, Secret, Section, Whole
from pydantic import Field, field_validator

from clawdbot_model_gateway.settings.redis_url import redis_url


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


class CacheSettings(Section):
    """The cache of replies."""

    enabled: bool = True
    default: Literal["never", "deterministic", "always"] = "deterministic"
    """Which requests without a policy of their own use it; deterministic: those with temperature 0."""
    ttl: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long a reply is served, where the request does not say."""
    max_ttl: Annotated[Seconds, Field(gt=0)] = 86_400.0
    """Limit for what requests say."""
    memory: Annotated[Bytes, Field(ge=0)] = 32 * 1024 * 1024
    """Replies in the memory of one worker."""
    redis: Secret | None = None
    """URL of a Redis or Valkey that replicas share: redis://, rediss:// or unix://."""
    semantic: SemanticCacheSettings | None = None

    _redis_url = field_validator("redis")(redis_url)
