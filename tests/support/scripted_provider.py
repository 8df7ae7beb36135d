"""A provider that a test scripts: what it replies and where it waits. It counts its requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import RoutingTable
from clawdbot_model_gateway.core.scheduling.scheduler import NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_model_gateway.stores.in_memory.alias_overrides import InMemoryAliasOverrideStore

from tests.support.generate_requests import Event

WAIT = object()
"""In a script: nothing more until the request is cancelled or its stream closed."""

STOP = FinishReason.FINISH_REASON_STOP


def says(*pieces: str, model: str = "m") -> list[Event]:
    """A whole reply."""
    return [events.started(model), *map(events.text_delta, pieces), events.finished(STOP, "stop")]


class FakeProvider:
    """Plays its scripts in turn and repeats the last.

    A script contains events, errors to raise, WAIT, and asyncio events that it waits for.
    """

    endpoint = "http://fake"
    max_concurrency: int | None = None
    open_connections = idle_connections = waiting_for_connection = 0
    is_cold = False

    def __init__(self, *scripts: Sequence[Any], models: Sequence[str] | Exception = ("m",)) -> None:
        self.scripts = list(scripts) or [says("yes")]
        self.models = models
        self.asked: list[str] = []
        """The model of each request."""
        self.listed = 0
        self.open = 0
        """Requests that have begun and have not ended."""
        self.waiting = asyncio.Event()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def warm(self) -> None: ...

    async def list_models(self) -> Sequence[VendorModel]:
        self.listed += 1
        if isinstance(self.models, Exception):
            raise self.models
        return [VendorModel(each) for each in self.models]

    async def generate(self, request, model) -> Sequence[Event]:
        return [event async for event in self.stream(request, model)]

    async def stream(self, request, model) -> AsyncGenerator[Event, None]:
        self.asked.append(model)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.open += 1
        try:
            for each in script:
                if each is WAIT:
                    self.waiting.set()
                    await asyncio.Event().wait()
                if isinstance(each, asyncio.Event):
                    await each.wait()
                    continue
                if isinstance(each, Exception):
                    raise each
                copy = Event()
                copy.CopyFrom(each)
                yield copy
        finally:
            self.open -= 1


def hold_replies(backend: Backend, text: str = "yes") -> asyncio.Event:
    """Has a backend begin its replies, and go on with the text when the event is set."""
    held = asyncio.Event()
    begin, *rest = says(text)
    backend.provider = FakeProvider([begin, held, *rest])
    return held


class FakeHooks:
    """Records its calls; refuses with `refusal`."""

    def __init__(self) -> None:
        self.gated: list[Any] = []
        self.observed: list[Any] = []
        self.refusal: Exception | None = None

    def gates(self, point) -> bool:
        return True

    async def gate(self, subject) -> None:
        self.gated.append(subject)
        if self.refusal is not None:
            raise self.refusal

    def observes(self, point) -> bool:
        return True

    def observe(self, subject) -> None:
        self.observed.append(subject)


async def streamed(generation: Generation, request: GenerateRequest) -> AsyncGenerator[Event, None]:
    """The events of a reply, each sent once the last was taken; closing it cancels the call."""
    sent: asyncio.Queue[Event | None] = asyncio.Queue()

    async def send(event: Event) -> None:
        sent.put_nowait(event)
        await sent.join()

    call = asyncio.create_task(generation.stream(request, send))
    call.add_done_callback(lambda _: sent.put_nowait(None))
    try:
        while (event := await sent.get()) is not None:
            yield event
            sent.task_done()
        await call
    finally:
        call.cancel()
        await asyncio.wait([call])


class Bench:
    """A Generation over fake providers, with all its parts accessible."""

    def __init__(
        self,
        aliases=None,
        draw=lambda: 0.5,
        clock=lambda: 0.0,
        concurrency: int | None = None,
        **providers: FakeProvider,
    ) -> None:
        self.providers = providers
        self.backends = {
            name: Backend(
                name,
                "fake",
                each,
                scheduler=Scheduler(concurrency or NO_LIMIT, QueueLimits(), time.monotonic),
            )
            for name, each in providers.items()
        }
        self.router = Router(InMemoryAliasOverrideStore(), self.backends, clock)
        self.router.configure(RoutingTable({name: frozenset() for name in providers}, aliases or {}))
        self.hooks = FakeHooks()
        self.generation = Generation(
            self.router, self.backends, hooks=self.hooks, limits=RequestLimits(), draw=draw
        )

    def stream(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """The events of a streamed reply."""
        return streamed(self.generation, request)

    @property
    def done(self) -> dict[str, Any]:
        """The facts of the last observed event."""
        return dict(self.hooks.observed[-1].facts.items())

    @property
    def idle(self) -> bool:
        """Whether no request is in flight."""
        return not any(each.in_flight for each in self.backends.values()) and not any(
            each.open for each in self.providers.values()
        )
