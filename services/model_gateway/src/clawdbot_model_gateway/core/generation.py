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
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.records import annotate

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.directory import Directory
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.failures import ModelFailure, ProtocolViolation
from clawdbot_model_gateway.core.fold import fold
from clawdbot_model_gateway.core.hooks import BEFORE_GENERATE, GENERATION_DONE, GenerationHooks
from clawdbot_model_gateway.core.routing import DEFAULT_ALIAS, in_order
from clawdbot_model_gateway.core.run import Run
from clawdbot_model_gateway.core.structs import to_struct
from clawdbot_model_gateway.core.validation import RequestLimits, check

LABELS = ("session_id", "turn_id", "flow", "state")
"""Labels in a request's metadata that hooks are told, where the caller gave them."""


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
        self._directory = directory
        self._backends = backends
        self._hooks = hooks
        self._limits = limits
        self._draw = draw

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
                        events = await provider.generate(request, run.model)
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
            answer = _Answer(self._backends[target.backend])
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
        targets = in_order(await self._directory.targets(request.model), self._draw)
        await self._hooks.gate(_subject(BEFORE_GENERATE, request))
        return Run(request, targets, self._done)

    def _done(self, run: Run) -> None:
        annotate(model=run.request.model or DEFAULT_ALIAS, target=run.target_name, outcome=run.outcome)
        if not self._hooks.observes(GENERATION_DONE):
            return
        subject = _subject(GENERATION_DONE, run.request)
        facts = {
            "target": run.target_name,
            "attempts": run.attempt,
            "outcome": run.outcome,
            "seconds": round(run.seconds, 6),
            "input_tokens": run.usage.input_tokens,
            "output_tokens": run.usage.output_tokens,
        }
        subject.facts.CopyFrom(to_struct(facts))
        self._hooks.observe(subject)


class _Answer:
    """A stream of one backend's, from the request until somebody closes it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
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
        self.events = self._backend.provider.stream(run.request, run.model)
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


def _subject(point: str, request: GenerateRequest) -> HookSubject:
    subject = HookSubject(point=point, model=request.model or DEFAULT_ALIAS)
    if request.metadata:
        for label in LABELS:
            if label in request.metadata:
                setattr(subject, label, request.metadata[label])
    return subject
