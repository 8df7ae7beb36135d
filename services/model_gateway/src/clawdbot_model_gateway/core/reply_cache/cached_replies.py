"""Answers a request from a cache, from the call of an equal request, or from its backend."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial

from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_HIT,
    PRIORITY_STANDARD,
    GenerateRequest,
)
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.attempts import Attempt
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.events import Event, merge_deltas, usage
from clawdbot_model_gateway.core.reply_cache.codec import CorruptReply, decode, encode
from clawdbot_model_gateway.core.reply_cache.flight import Flight
from clawdbot_model_gateway.core.reply_cache.key import cache_key
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey, LookUp, ReplyCache
from clawdbot_model_gateway.core.reply_cache.rules import CacheRules, CacheUse, is_stored
from clawdbot_model_gateway.core.token_estimate import TokenEstimator, estimate_usage

Upstream = Callable[[Callable[[Usage], None], float], AbstractAsyncContextManager[AsyncGenerator[Event]]]
"""Opens the reply of the backend. Its first argument is called with the cost of each reply that nobody may
see; the second is when a slot at the backend is of no use any more."""


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
        self.use = rules.use
        """How a request uses the cache at a backend; None: not at all."""
        self._memory = memory
        self._shared = shared
        self._metrics = metrics
        self._flights: dict[tuple[bytes, bytes | None], Flight] = {}
        """The calls that can be joined, by digest and stamp: a flush ends joining, and not the call."""

    async def start(self) -> None:
        """Opens the caches; raises StartupError for what an operator can fix."""
        for each in self._caches:
            await each.start()

    async def stop(self) -> None:
        """Closes the caches."""
        for each in self._caches:
            await each.stop()

    @asynccontextmanager
    async def open(
        self, use: CacheUse, attempt: Attempt, backend: Backend, upstream: Upstream, *, whole: bool = False
    ) -> AsyncIterator[AsyncGenerator[Event]]:
        """The events of the reply.

        Args:
            use: how the request uses the cache.
            attempt: whose model is known.
            backend: of the attempt.
            upstream: opens its reply.
            whole: the caller puts the events together again, so that neighbours may come joined.
        """
        key = cache_key(attempt.request, backend, attempt.model, current_caller().tenant)
        found = await self._memory.get(key)
        if use.reads and found.reply is not None:
            reply, _ = decode(found.reply)
            attempt.free, attempt.cache_status = True, CACHE_STATUS_HIT
            self._metrics.requests.labels(backend.name, "hit_memory").inc()
            async with aclosing(_replay(merge_deltas(reply) if whole else reply)) as replayed:
                yield replayed
            return
        place = key.digest, found.stamp
        # An unspecified priority is the standard one.
        urgency = attempt.request.priority or PRIORITY_STANDARD
        flight = self._flights.get(place) if use.reads else None
        # A less urgent call may wait for its slot for long.
        if flight is not None and flight.urgency <= urgency:
            self._metrics.requests.labels(backend.name, "coalesced").inc()
        else:

            def end(ended: Flight) -> None:
                if self._flights.get(place) is ended:
                    del self._flights[place]

            flight = Flight(attempt, urgency, end)
            self._flights[place] = flight
            fill = partial(self._fill, flight, use, key, stamp=found.stamp, backend=backend.name)
            flight.begin(partial(fill, request=attempt.request, upstream=upstream))
        async with flight.follow(attempt) as events:
            yield events

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
        backend: str,
        request: GenerateRequest,
        upstream: Upstream,
    ) -> None:
        """Adds the events of the reply to a flight, and stores them."""
        shared = LookUp() if self._shared is None else await self._shared.get(key)
        if use.reads and shared.reply is not None:
            events, ttl = self._decode_shared(shared.reply)
            if ttl > 0:
                self._memory.put(key, shared.reply, ttl=ttl, stamp=stamp)
                flight.was_cached = True
                self._metrics.requests.labels(backend, "hit_redis").inc()
                for event in events:
                    flight.add(event)
                return
        self._metrics.requests.labels(backend, "miss").inc()
        async with upstream(flight.record_usage, flight.expires_at) as events_of_backend:
            async for event in events_of_backend:
                if event.HasField("finished") and is_stored(event):
                    # Before anybody sees the end: the next equal request may follow at once.
                    whole = _with_usage([*flight.events, event], request)
                    reply = encode(whole, time.time() + use.ttl)
                    self._memory.put(key, reply, ttl=use.ttl, stamp=stamp)
                    if self._shared is not None:
                        self._shared.put(key, reply, ttl=use.ttl, stamp=shared.stamp)
                flight.add(event)

    def _decode_shared(self, reply: bytes) -> tuple[list[Event], float]:
        """The events of a reply that another process stored, and the seconds for which it may be served."""
        try:
            events, expires_at = decode(reply)
        except CorruptReply:
            self._metrics.redis_errors.labels("get", "corrupt").inc()
            return [], 0.0
        return events, expires_at - time.time()


def _with_usage(reply: list[Event], request: GenerateRequest) -> list[Event]:
    """The events of a whole reply, with an estimate where the backend reported no usage."""
    if any(event.HasField("usage") for event in reply):
        return reply
    output = TokenEstimator()
    for event in reply:
        output.add(event.text_delta.text or event.reasoning_delta.text or event.tool_call_delta.arguments)
    return [*reply[:-1], usage(estimate_usage(request, output.tokens)), reply[-1]]


async def _replay(events: Sequence[Event]) -> AsyncGenerator[Event]:
    for event in events:
        yield event
