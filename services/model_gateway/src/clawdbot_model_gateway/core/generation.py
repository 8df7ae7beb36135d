"""The gateway's work: from a request for a model to a reply, from the first backend that gives one.

A backend is committed to with the first event that holds something of the reply. Until then a failure goes on
to the next target, with what remains of the deadline; after that it ends the call, since what was said is
said.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from itertools import chain

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, GenerateResponse

from clawdbot_model_gateway.core.accumulator import fold
from clawdbot_model_gateway.core.attempts import Run
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import Calls
from clawdbot_model_gateway.core.errors import ModelFailure, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.structured_output.emulation import keeping_form
from clawdbot_model_gateway.core.structured_output.validation import Judges
from clawdbot_model_gateway.core.validation import RequestLimits, check


class Generation:
    """Answers requests.

    Args:
        directory: what names mean.
        backends: by name; every backend that the directory knows.
        hooks: of the points before_generate and generation_done.
        limits: what one request may be.
        draw: uniform numbers in [0, 1), for the weights of targets.
    """

    def __init__(
        self,
        directory: Directory,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: RequestLimits,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._calls = Calls(directory, hooks, draw)
        self._backends = backends
        self._limits = limits
        self._judges = Judges()

    async def generate(self, request: GenerateRequest) -> GenerateResponse:
        """The whole reply.

        Raises:
            InvalidRequest: the request is at fault.
            UnknownModel: its model is not there.
            ModelFailure: no backend could answer.
        """
        with await self._begin(request) as run:
            for target in run.attempts():
                try:
                    backend = self._backends[target.backend]
                    with backend.serving() as provider:
                        run.model = await backend.model_for(target.model)
                        answerer = await keeping_form(
                            provider, request, run.model, judges=self._judges, pay=run.paid
                        )
                        events = await answerer.generate(request, run.model)
                except ModelFailure as failure:
                    run.failed(failure)
                else:
                    return fold(chain.from_iterable(map(run.passing, events)))
            raise AssertionError("attempts() ends by raising")

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        """The reply's events as they come; raises as generate, also between events."""
        with await self._begin(request) as run:
            async with aclosing(await self._answer(run)) as answer:
                try:
                    for event in chain.from_iterable(map(run.passing, answer.opening)):
                        yield event
                    async for event in answer.events:
                        for each in run.passing(event):
                            yield each
                except ModelFailure as failure:
                    run.broke(failure)
                    raise

    async def _answer(self, run: Run) -> _Answer:
        """The first target's answer that holds something; the caller closes it."""
        for target in run.attempts():
            answer = _Answer(self._backends[target.backend], self._judges)
            try:
                await answer.open(run)
            except BaseException as error:
                await answer.aclose()
                if not isinstance(error, ModelFailure):
                    raise
                run.failed(error)
            else:
                return answer
        raise AssertionError("attempts() ends by raising")

    async def _begin(self, request: GenerateRequest) -> Run:
        check(request, self._limits)
        return await self._calls.begin(request)


class _Answer:
    """A stream of one backend's, from the request until somebody closes it."""

    def __init__(self, backend: Backend, judges: Judges) -> None:
        self._backend = backend
        self._judges = judges
        backend.in_flight += 1
        self.opening: list[Event] = []
        """The events up to the first that holds something of the reply."""
        self.events: AsyncGenerator[Event] = _nothing()
        """The events after those."""

    async def open(self, run: Run) -> None:
        """Asks, and waits for the opening.

        Raises:
            ModelFailure: the backend has nothing to say.
        """
        run.model = await self._backend.model_for(run.target.model)
        answerer = await keeping_form(
            self._backend.provider, run.request, run.model, judges=self._judges, pay=run.paid
        )
        self.events = answerer.stream(run.request, run.model)
        async for event in self.events:
            self.opening.append(event)
            if event.WhichOneof("event") != "started":
                return
        raise ProtocolViolation("the reply ended before it began")

    async def aclose(self) -> None:
        """Ends the request at the backend, if it still runs."""
        try:
            await self.events.aclose()
        finally:
            self._backend.in_flight -= 1


async def _nothing() -> AsyncGenerator[Event]:
    """No event."""
    return
    yield  # what makes it a generator
