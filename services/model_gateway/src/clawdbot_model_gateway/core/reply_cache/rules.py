"""Decides whether a request may use the cache, by its own policy or else by the configured rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy, GenerateRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.events import Event

STORED_REASONS: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""Finish reasons of replies that are stored. A cut, refused or filtered reply may be better the next time."""


class CacheUse(NamedTuple):
    """How a request uses the cache."""

    reads: bool
    """False: it wants a new reply, and only stores it."""
    ttl: float
    """Seconds for which its reply may be served."""


@dataclass(frozen=True, slots=True)
class CacheRules:
    """The configured rules."""

    enabled: bool = True
    """False: no request uses the cache."""
    default: Literal["never", "deterministic", "always"] = "deterministic"
    """Which requests without a policy of their own use the cache."""
    ttl: float = 300.0
    max_ttl: float = 86_400.0
    max_bytes: int = 1024 * 1024
    """Size of a request, so that hashing it never blocks the event loop for more than some milliseconds."""

    max_texts: int = 512
    """Number of texts to embed, for the same reason."""

    def use(self, request: GenerateRequest | EmbedRequest, backend: Backend) -> CacheUse | None:
        """How the request uses the cache; None: not at all. It costs next to nothing then."""
        if not self.enabled:
            return None
        policy = request.cache
        mode = policy.mode
        if mode == CachePolicy.MODE_UNSPECIFIED:
            if self.default == "never" or (
                self.default == "deterministic" and not _is_deterministic(request, backend)
            ):
                return None
        elif mode == CachePolicy.MODE_BYPASS:
            return None
        if request.ByteSize() > self.max_bytes:
            return None
        if isinstance(request, EmbedRequest) and len(request.texts) > self.max_texts:
            return None
        ttl = self.ttl
        if policy.HasField("ttl"):
            ttl = policy.ttl.seconds + policy.ttl.nanos / 1e9
        return CacheUse(mode != CachePolicy.MODE_REFRESH, min(ttl, self.max_ttl))


def is_stored(finished: Event) -> bool:
    """Whether a reply that ends with this event may be served again."""
    end = finished.finished
    return end.finish_reason in STORED_REASONS and not end.truncated


def _is_deterministic(request: GenerateRequest | EmbedRequest, backend: Backend) -> bool:
    """Whether nothing is drawn. Options of a vendor may ask for a search, whose results change."""
    if isinstance(request, EmbedRequest):
        return True
    temperature = backend.default_temperature
    if request.HasField("sampling") and request.sampling.HasField("temperature"):
        temperature = request.sampling.temperature
    return temperature == 0 and not request.HasField("provider_options")
