"""Answers requests for a reply, from the first backend that gives one.

Generate and StreamGenerate are one path: a reply is its events, and Generate accumulates them. The first
event with content commits the call to its backend. An error before it, or no content in time, moves on to the
next target, within what remains of the deadline. An error after it ends the call, since sent events cannot be
taken back; after silence the reply ends as truncated.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, GenerateResponse
from clawdbot_model_client.accumulator import accumulate

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import CallLifecycle
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.failures.hedge import Runner, race
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve, begin_spending
from clawdbot_model_gateway.core.structured_output.emulation import (
    RecordUsage,
    ReplySource,
    with_format_emulation,
)
from clawdbot_model_gateway.core.structured_output.validation import validator_processes
from clawdbot_model_gateway.core.validation import RequestLimits, validate_request

Send = Callable[[ReplySource, GenerateRequest, str], AsyncGenerator[Event]]
"""Sends a request to a model, by its vendor's name, and gives the reply's events."""


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
        async with aclosing(self._reply(request, _send_unary)) as events:
            return accumulate([event async for event in events])

    def stream(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        """The reply's events as they arrive; raises as generate does, also between events."""
        return self._reply(request, _send_streaming)

    async def _reply(self, request: GenerateRequest, send: Send) -> AsyncGenerator[Event]:
        validate_request(request, self.limits)
        with await self._lifecycle.start(request, self._uses_cache) as attempts:
            async for attempt in attempts:
                backend = self._backends[attempt.target.backend]
                delay = backend.failure.hedge_delay
                if delay is not None and attempts.has_next:
                    async with aclosing(self._hedged(attempts, attempt, delay, send)) as events:
                        async for event in events:
                            yield event
                else:
                    # As `_events`, written out: each event of nearly every reply passes here.
                    try:
                        async with attempt.within(backend.failure, backend.failure.first_content_timeout):
                            async with aclosing(self._open(backend, attempt, send)) as events:
                                async for event in events:
                                    for each in attempt.take(event):
                                        yield each
                            attempt.end()
                    except ModelError as error:
                        rest = attempts.rest_after(attempt, error)
                    else:
                        return
                    for each in rest:
                        yield each
                if attempts.answered is not None:
                    return

    async def _hedged(
        self, attempts: RequestAttempts, attempt: Attempt, delay: float, send: Send
    ) -> AsyncGenerator[Event]:
        """What to send of an attempt, or of one at the next target that begins before it."""
        leader = await race(
            attempts,
            attempt,
            lambda each: Runner(each, self._events(each, send)),
            delay=delay,
            spend=self._backends[attempt.target.backend].failure.spend_hedge,
        )
        if leader is None:
            return
        try:
            async with aclosing(leader.events) as events:
                yield leader.task.result()
                async for event in events:
                    yield event
        except ModelError as error:
            rest = attempts.rest_after(leader.attempt, error)
        else:
            return
        for each in rest:
            yield each

    async def _events(self, attempt: Attempt, send: Send) -> AsyncGenerator[Event]:
        """What to send of an attempt that runs beside another one."""
        backend = self._backends[attempt.target.backend]
        async with attempt.within(backend.failure, backend.failure.first_content_timeout):
            async with aclosing(self._open(backend, attempt, send)) as events:
                async for event in events:
                    for each in attempt.take(event):
                        yield each
            attempt.end()

    def _uses_cache(self, request: GenerateRequest, targets: Sequence[Target]) -> bool:
        return (
            self._replies is not None
            and self._replies.use(request, self._backends[targets[0].backend]) is not None
        )

    def _open(self, backend: Backend, attempt: Attempt, send: Send) -> AsyncGenerator[Event]:
        """The events of a reply: from the cache, or from the backend. Closing them ends the call."""
        attempt.prices = backend.prices
        # For what is said of an attempt that ends before the backend is asked.
        attempt.model = backend.display_name(attempt.target.model)
        use = None if self._replies is None else self._replies.use(attempt.request, backend)
        upstream = partial(self._upstream, backend, attempt, send)
        if self._replies is None or use is None:
            return upstream(attempt.record_usage, attempt.expires_at, reserve=attempt.reserve)
        return self._replies.open(use, attempt, backend, upstream, whole=send is _send_unary)

    async def _upstream(
        self,
        backend: Backend,
        attempt: Attempt,
        send: Send,
        record_usage: RecordUsage,
        expires_at: float,
        *,
        reserve: Reserve | None = None,
    ) -> AsyncGenerator[Event]:
        """The events of the backend's reply; the cost of a reply that nobody may see is recorded."""
        if reserve is not None:
            await reserve()
        if backend.failure.first_content_timeout is not None:
            # Only in a stream can silence be distinguished from a long reply.
            send = _send_streaming
        # The time to the first content says nothing where the whole reply comes at once.
        streamed = attempt if send is _send_streaming else None
        slot = backend.slot(attempt.request, streamed, expires_at, last_resort=attempt.last_resort)
        async with slot as provider:
            attempt.model = await backend.model_for(attempt.target.model)
            source = await with_format_emulation(
                provider,
                attempt.request,
                attempt.model,
                processes=self._validators,
                record_usage=record_usage,
            )
            begin_spending(attempt.spending)
            async with aclosing(send(source, attempt.request, attempt.model)) as events:
                async for event in events:
                    yield event


async def _send_unary(source: ReplySource, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
    for event in await source.generate(request, model):
        yield event


def _send_streaming(source: ReplySource, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
    return source.stream(request, model)
