"""The vectors of texts in the caches, each text by itself, so that only new ones are sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from clawdbot.model_gateway.v1.model_gateway_service_pb2 import Embedding, EmbedRequest, EmbedResponse
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.reply_cache.codec import CorruptReply, decode_vector, encode_vector
from clawdbot_model_gateway.core.reply_cache.key import vector_keys
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, Entry, LookUp, ReplyCache
from clawdbot_model_gateway.core.reply_cache.rules import CacheRules, CacheUse


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the vector of a text belongs in the caches."""

    key: CacheKey
    stamp: bytes | None
    shared_stamp: bytes | None


@dataclass(frozen=True, slots=True)
class KnownVectors:
    """What the caches have for the texts of a request."""

    vectors: dict[str, Embedding]
    """By text."""
    model: str
    """The vendor's name of the model that computed them; empty where there are none."""
    places: dict[str, _Place]
    """Of all texts."""


class CachedVectors:
    """The caches as Embed uses them.

    Args:
        rules: which requests use them.
        memory: the cache of this worker.
        shared: the cache of all replicas, asked for what the memory lacks.
        metrics: counts texts.
    """

    def __init__(
        self, rules: CacheRules, memory: ReplyCache, shared: ReplyCache | None, metrics: CacheMetrics
    ) -> None:
        self.use = rules.use
        """How a request uses the cache at a backend; None: not at all."""
        self.max_ttl = rules.max_ttl
        """Seconds; no vector is served longer."""
        self._memory = memory
        self._shared = shared
        self._metrics = metrics

    async def look_up(
        self, use: CacheUse, request: EmbedRequest, backend: Backend, model: str
    ) -> KnownVectors:
        """What is known of a request's texts; nothing where it wants new vectors."""
        texts = [*dict.fromkeys(request.texts)]
        dimensions = request.dimensions if request.HasField("dimensions") else None
        keys = vector_keys(texts, dimensions, backend, model, current_caller().tenant)
        in_memory = await self._memory.get_all(keys)
        found = (
            {text: _decode(each) for text, each in zip(texts, in_memory, strict=True)} if use.reads else {}
        )
        lacking = [place for place, text in enumerate(texts) if found.get(text) is None]
        shared = [LookUp()] * len(texts)
        if self._shared is not None and lacking:
            answers = await self._shared.get_all([keys[place] for place in lacking])
            for place, answer in zip(lacking, answers, strict=True):
                shared[place] = answer
                if use.reads:
                    found[texts[place]] = self._decode_shared(keys[place], answer, in_memory[place].stamp)
        hits = {text: each for text, each in found.items() if each is not None}
        # Vectors of two models cannot be compared, so those of an earlier one are not served beside others.
        model = next(iter(hits.values())).model if hits else ""
        vectors = {text: each.embeddings[0] for text, each in hits.items() if each.model == model}
        from_memory = len(texts) - len(lacking)
        count = self._metrics.texts.labels
        count(backend.name, "hit_memory").inc(from_memory)
        count(backend.name, "hit_redis").inc(len(hits) - from_memory)
        count(backend.name, "miss").inc(len(texts) - len(hits))
        places = {
            text: _Place(key, mine.stamp, other.stamp)
            for text, key, mine, other in zip(texts, keys, in_memory, shared, strict=True)
        }
        return KnownVectors(vectors, model, places)

    def store(
        self, use: CacheUse, known: KnownVectors, texts: Sequence[str], response: EmbedResponse
    ) -> None:
        """Keeps the vectors that a backend has computed for texts."""
        expires_at = time.time() + use.ttl
        entries, shared = [], []
        for text, embedding in zip(texts, response.embeddings, strict=True):
            place = known.places[text]
            vector = encode_vector(EmbedResponse(embeddings=[embedding], model=response.model), expires_at)
            entries.append(Entry(place.key, vector, place.stamp))
            shared.append(Entry(place.key, vector, place.shared_stamp))
        self._memory.put_all(entries, ttl=use.ttl)
        if self._shared is not None:
            self._shared.put_all(shared, ttl=use.ttl)

    def _decode_shared(self, key: CacheKey, answer: LookUp, stamp: bytes | None) -> EmbedResponse | None:
        """A vector that another process stored; the memory takes it as well."""
        if answer.reply is None:
            return None
        try:
            vector, expires_at = decode_vector(answer.reply)
        except CorruptReply:
            self._metrics.redis_errors.labels("get_all", "corrupt").inc()
            return None
        ttl = min(expires_at - time.time(), self.max_ttl)
        if not ttl > 0:
            return None
        self._memory.put(key, answer.reply, ttl=ttl, stamp=stamp)
        return vector


def _decode(found: LookUp) -> EmbedResponse | None:
    return None if found.reply is None else decode_vector(found.reply)[0]
