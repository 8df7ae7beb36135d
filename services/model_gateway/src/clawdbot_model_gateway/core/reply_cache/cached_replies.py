"""Answers a request from a cache, from the call of an equal request, or from its backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial

from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_HIT,
    CACHE_STATUS_SIMILAR,
    PRIORITY_STANDARD,
    CacheStatus,
    GenerateRequest,
)
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.events import Event, Take, usage
from clawdbot_model_gateway.core.reply_cache.cached_vectors import CachedVectors
from clawdbot_model_gateway.core.reply_cache.codec import CorruptReply, decode, encode
from clawdbot_model_gateway.core.reply_cache.flight import Flight
from clawdbot_model_gateway.core.reply_cache.key import cache_key
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, LookUp, ReplyCache
from clawdbot_model_gateway.core.reply_cache.rules import CacheRules, CacheUse, is_stored
from clawdbot_model_gateway.core.reply_cache.similar_requests import Question, SimilarRequests
from clawdbot_model_gateway.core.spending import as_cached
from clawdbot_model_gateway.core.tokens.token_estimate import (
    TokenEstimator,
    estimate_input,
    estimate_usage,
    with_estimates,
)

Upstream = Callable[[Take, Callable[[Usage], None], float], Awaitable[None]]
"""Takes the events of the backend's reply. Its second argument is called with the cost of each reply that
nobody may see; the third is when a slot at the backend is of no use any more."""


class CachedReplies:
    """The caches in front of the backends, and the calls that are shared.

    Args:
        rules: which requests use them.
        memory: the cache of this worker.
        shared: the cache of all replicas, asked after the memory.
        metrics: counts what comes of it.
    """

    def __init__(
        self, rules: CacheRules, memory: ReplyCache, shared: ReplyCache | None, metrics: CacheMetrics
    ) -> None:
        self.vectors = CachedVectors(rules, memory, shared, metrics)
        """The same caches, for Embed."""
        self.configure(rules)
        self._memory = memory
        self._shared = shared
        self._metrics = metrics
        self.similar: SimilarRequests | None = None
        """Finds requests that mean the same; None: off. Set before the start; later by `replace_similar`."""
        self._leaving: set[asyncio.Task[None]] = set()
        """What ends those that were replaced."""
        self._flights: dict[tuple[bytes, bytes | None, bool], Flight] = {}
        """The calls that can be joined, by digest, stamp and whether a similar request's reply will do.

        A flush ends joining, and not the call.
        """

    def configure(self, rules: CacheRules) -> None:
        """Applies other rules, from the next request on."""
        self.use = self.vectors.use = rules.use
        """How a request uses the cache at a backend; None: not at all."""
        self._max_ttl = self.vectors.max_ttl = rules.max_ttl

    def replace_similar(self, similar: SimilarRequests | None) -> None:
        """Has another one find requests that mean the same, from the next request on; None: off."""
        if self.similar is not None:
            leaving = asyncio.create_task(self.similar.stop())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self.similar = similar
        if similar is not None:
            similar.start()

    async def start(self) -> None:
        """Opens the caches; raises StartupError for what an operator can fix."""
        for each in self._caches:
            await each.start()
        if self.similar is not None:
            self.similar.start()

    async def stop(self) -> None:
        """Closes the caches."""
        if self.similar is not None:
            await self.similar.stop()
        await asyncio.gather(*self._leaving)
        for each in self._caches:
            await each.stop()

    async def answer(
        self,
        use: CacheUse,
        attempt: Attempt,
        backend: Backend,
        upstream: Upstream,
        take: Take,
        *,
        whole: bool = False,
    ) -> None:
        """Has the events of the reply taken. Cancelling it leaves the call.

        Args:
            use: how the request uses the cache.
            attempt: that answers it.
            backend: of the attempt.
            upstream: has the events of its reply taken.
            take: takes them.
            whole: the caller puts the events together again, so that neighbours may come joined.
        """
        attempt.model = await backend.model_for(attempt.target.model)
        key = cache_key(attempt.request, backend, attempt.model, current_caller().tenant)
        found = await self._memory.get(key)
        if use.reads and found.reply is not None:
            reply, _ = decode(found.reply, whole=whole)
            attempt.free, attempt.cache_status = True, CACHE_STATUS_HIT
            self._metrics.count_request(backend.name, "hit_memory")
            await take(reply)
            return
        similar = self.similar
        if similar is not None and not similar.concerns(attempt.request, key.tenant):
            similar = None
        place = key.digest, found.stamp, similar is not None
        # An unspecified priority is the standard one.
        urgency = attempt.request.priority or PRIORITY_STANDARD
        flight = self._flights.get(place) if use.reads else None
        # A less urgent call may wait for its slot for long.
        if flight is not None and flight.urgency <= urgency:
            self._metrics.count_request(backend.name, "coalesced")
        else:

            def end(ended: Flight) -> None:
                if self._flights.get(place) is ended:
                    del self._flights[place]

            flight = Flight(attempt, urgency, end)
            self._flights[place] = flight
            fill = partial(self._fill, flight, use, key, stamp=found.stamp, backend=backend)
            flight.begin(partial(fill, attempt=attempt, upstream=upstream, similar=similar))
        async with aclosing(flight.follow(attempt)) as events:
            async for event in events:
                await take((event,))

    async def flush(self, tenant: str, targets: Sequence[str]) -> int:
        """Removes the replies of a tenant (empty: all) to the targets (none: all).

        Returns:
            How many the memory had.

        Raises:
            CacheNotFlushed: the shared cache could not be reached; the memory has been flushed all the same.
        """
        every = targets or ("",)
        removed = 0
        try:
            # Before the memory, which would otherwise take an old reply from it in between.
            if self._shared is not None:
                for target in every:
                    await self._shared.flush(tenant, target)
        finally:
            for target in every:
                removed += await self._memory.flush(tenant, target)
        return removed

    @property
    def _caches(self) -> list[ReplyCache]:
        return [self._memory] if self._shared is None else [self._memory, self._shared]

    async def _fill(
        self,
        flight: Flight,
        use: CacheUse,
        key: CacheKey,
        *,
        stamp: bytes | None,
        backend: Backend,
        attempt: Attempt,
        upstream: Upstream,
        similar: SimilarRequests | None,
    ) -> None:
        """Adds the events of the reply to a flight, and stores them."""
        request = attempt.request
        shared = LookUp() if self._shared is None else await self._shared.get(key)
        if use.reads and shared.reply is not None:
            events, ttl = self._decode_shared(shared.reply)
            if ttl > 0:
                self._memory.put(key, shared.reply, ttl=ttl, stamp=stamp)
                self._serve(flight, events, CACHE_STATUS_HIT, backend)
                return
        question = None if similar is None else await similar.ask(request, key, backend, attempt.model)
        if similar is not None and question is not None and use.reads:
            reply = await self._similar_reply(similar, question)
            if reply is not None:
                self._serve(flight, decode(reply)[0], CACHE_STATUS_SIMILAR, backend)
                return
        await flight.reserve()
        self._metrics.count_request(backend.name, "miss")

        async def add(events: Sequence[Event]) -> None:
            for event in events:
                if event.HasField("finished") and is_stored(event):
                    # Before anybody sees the end: the next equal request may follow at once.
                    whole = _as_stored([*flight.events, event], request)
                    stored = encode(whole, time.time() + use.ttl)
                    self._memory.put(key, stored, ttl=use.ttl, stamp=stamp)
                    if self._shared is not None:
                        self._shared.put(key, stored, ttl=use.ttl, stamp=shared.stamp)
                    if similar is not None and question is not None:
                        similar.add(question)
                flight.add(event)

        await upstream(add, flight.record_usage, flight.expires_at)

    def _serve(
        self, flight: Flight, events: Sequence[Event], status: CacheStatus.ValueType, backend: Backend
    ) -> None:
        """Adds the events of a stored reply to a flight."""
        flight.hit = status
        result = "hit_redis" if status == CACHE_STATUS_HIT else "hit_similar"
        self._metrics.count_request(backend.name, result)
        for event in events:
            flight.add(event)

    async def _similar_reply(self, similar: SimilarRequests, question: Question) -> bytes | None:
        """The stored reply to a request that means the same."""
        for key in similar.find(question):
            found = await self._memory.get(key)
            if found.reply is not None:
                self._metrics.similar.labels("hit").inc()
                return found.reply
            similar.remove(key)
        self._metrics.similar.labels("miss").inc()
        return None

    def _decode_shared(self, reply: bytes) -> tuple[list[Event], float]:
        """The events of a reply that another process stored, and the seconds for which it may be served."""
        try:
            events, expires_at = decode(reply)
        except CorruptReply:
            self._metrics.redis_errors.labels("get", "corrupt").inc()
            return [], 0.0
        return events, min(expires_at - time.time(), self._max_ttl)


def _as_stored(reply: Sequence[Event], request: GenerateRequest) -> list[Event]:
    """The events of a whole reply, with the usage that later callers see: estimated where it is missing."""
    output = TokenEstimator()
    for event in reply:
        output.add(event.text_delta.text or event.reasoning_delta.text or event.tool_call_delta.arguments)
    reported = next((event.usage for event in reply if event.HasField("usage")), None)
    if reported is None:
        counted = estimate_usage(request, output.tokens)
    else:
        counted = with_estimates(reported, partial(estimate_input, request), output)
    rest = [event for event in reply if not event.HasField("usage")]
    return [*rest[:-1], usage(as_cached(counted)), rest[-1]]
