"""Answers requests for a reply, from the first backend that gives one.

Generate and StreamGenerate are one path: a reply is its events, and Generate accumulates them. They are sent
on as they come, not yielded: a generator at each layer would cost more than the layer does. The first
event with content commits the call to its backend. An error before it, or no content in time, moves on to the
next target, within what remains of the deadline. An error after it ends the call, since sent events cannot be
taken back; after silence the reply ends as truncated.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, GenerateResponse
from clawdbot_model_client.accumulator import ReplyAccumulator

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import CallLifecycle
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import Event, Send, Take
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy
from clawdbot_model_gateway.core.failures.hedge import race
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.reply_cache.rules import CacheUse
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve
from clawdbot_model_gateway.core.structured_output.emulation import (
    RecordUsage,
    ReplySource,
    with_format_emulation,
)
from clawdbot_model_gateway.core.structured_output.validation import validator_processes
from clawdbot_model_gateway.core.validation import RequestLimits, validate_request


class Generation:
    """Answers Generate and StreamGenerate.

    Args:
        router: resolves names to targets.
        backends: by name; every backend that the router knows.
        hooks: runs the points before_generate and generation_done.
        limits: of one request.
        replies: the cache of replies; None: every request goes to a backend.
        draw: uniform numbers in [0, 1), for the weights of targets.
        accounts: limits calls and counts what they have used; None: nothing does.
    """

    def __init__(
        self,
        router: Router,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: RequestLimits,
        replies: CachedReplies | None = None,
        draw: Callable[[], float] = random.random,
        accounts: CallAccounts | None = None,
    ) -> None:
        self._lifecycle = CallLifecycle(router, hooks, draw, accounts)
        self._backends = backends
        self.limits = limits
        self._replies = replies
        self._validators = validator_processes()

    async def generate(self, request: GenerateRequest) -> GenerateResponse:
        """The whole reply.

        Raises:
            InvalidRequest: the request is invalid.
            UnknownModel: its model does not exist.
            ModelError: no backend could answer.
        """
        reply = ReplyAccumulator()

        async def add(events: Iterable[Event]) -> None:
            for event in events:
                reply.add(event)

        await self._answer(request, add, whole=True)
        return reply.reply()

    async def stream(self, request: GenerateRequest, send: Callable[[Event], Awaitable[None]]) -> None:
        """Sends the reply's events as they arrive; raises as generate does, also between events."""

        async def send_each(events: Iterable[Event]) -> None:
            for event in events:
                await send(event)

        await self._answer(request, send_each, whole=False)

    async def _answer(self, request: GenerateRequest, send: Send, *, whole: bool) -> None:
        """Sends the reply of the first target that gives one; `whole`: it need not be streamed."""
        validate_request(request, self.limits)
        ask = partial(self._ask, whole=whole)
        with await self._lifecycle.start(request, self._uses_cache) as attempts:
            async for attempt in attempts:
                failure = self._backends[attempt.target.backend].failure
                following = attempts.next_target
                if following is None or (delay := failure.hedge_delay) is None:
                    answering, asking = attempt, ask(attempt, send)
                else:
                    spend = partial(self._spend_hedge, failure, following)
                    winner = await race(attempts, attempt, ask, send, delay=delay, spend=spend)
                    if winner is None:
                        continue
                    answering, asking = winner.attempt, winner.finish()
                try:
                    await asking
                    answering.end()
                except ModelError as error:
                    await send(attempts.rest_after(answering, error))
                    if attempts.answered is None:
                        continue
                return

    def _spend_hedge(self, failure: FailurePolicy, target: Target) -> bool:
        """Takes a hedge from the budget, for a target whose backend has not asked to be left alone."""
        return not self._backends[target.backend].resting and failure.spend_hedge()

    def _ask(self, attempt: Attempt, send: Send, *, whole: bool) -> Awaitable[None]:
        """Sends the reply of an attempt: from the cache, or from its backend."""
        backend = self._backends[attempt.target.backend]
        attempt.prices = backend.prices
        # For what is said of an attempt that ends before the backend is asked.
        attempt.model = backend.display_name(attempt.target.model)
        attempt.begin(backend.failure, backend.failure.first_content_timeout)
        upstream = partial(self._ask_backend, backend, attempt, whole=whole)
        take = partial(attempt.take, send)
        use = self._cache_use(attempt.request, backend)
        if self._replies is not None and use is not None:
            asking = self._replies.answer(use, attempt, backend, upstream, take, whole=whole)
        else:
            asking = upstream(take, attempt.record_usage, attempt.expires_at, reserve=attempt.reserve)
        return attempt.in_time(asking)

    def _cache_use(self, request: GenerateRequest, backend: Backend) -> CacheUse | None:
        """How a request uses the cache at a backend; None: not at all."""
        return None if self._replies is None else self._replies.use(request, backend)

    def _uses_cache(self, request: GenerateRequest, targets: Sequence[Target]) -> bool:
        return self._cache_use(request, self._backends[targets[0].backend]) is not None

    async def _ask_backend(
        self,
        backend: Backend,
        attempt: Attempt,
        take: Take,
        record_usage: RecordUsage,
        expires_at: float,
        *,
        whole: bool,
        reserve: Reserve | None = None,
    ) -> None:
        """Takes the reply of the backend; the cost of a reply that nobody may see is recorded."""
        if reserve is not None:
            await reserve()
        request = attempt.request
        # Only in a stream can silence be distinguished from a long reply.
        whole = whole and backend.failure.first_content_timeout is None
        # The time to the first content says nothing where the whole reply comes at once.
        slot = backend.slot(request, None if whole else attempt, expires_at, last_resort=attempt.last_resort)
        async with slot as provider:
            attempt.model = await backend.model_for(attempt.target.model)
            source: ReplySource = provider
            if request.HasField("response_format"):
                source = await with_format_emulation(
                    provider,
                    request,
                    attempt.model,
                    processes=self._validators,
                    record_usage=record_usage,
                )
            with attempt.spending:
                if whole:
                    await take(await source.generate(request, attempt.model))
                else:
                    async with aclosing(source.stream(request, attempt.model)) as events:
                        async for event in events:
                            await take((event,))
