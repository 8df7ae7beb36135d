"""Answers requests for a reply, from the first backend that gives one.

The first event with content commits the call to its backend. An error before it moves on to the next target,
within what remains of the deadline. An error after it ends the call, since sent events cannot be taken back.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from itertools import chain

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, GenerateResponse
from clawdbot_model_client.accumulator import accumulate

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import CallLifecycle
from clawdbot_model_gateway.core.errors import ModelError, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.model_discovery import ModelDiscovery
from clawdbot_model_gateway.core.structured_output.emulation import with_format_emulation
from clawdbot_model_gateway.core.structured_output.validation import ValidatorProcesses
from clawdbot_model_gateway.core.validation import RequestLimits, validate_request


class Generation:
    """Answers Generate and StreamGenerate.

    Args:
        discovery: resolves names to targets.
        backends: by name; every backend that discovery knows.
        hooks: runs the points before_generate and generation_done.
        limits: of one request.
        draw: uniform numbers in [0, 1), for the weights of targets.
    """

    def __init__(
        self,
        discovery: ModelDiscovery,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: RequestLimits,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._lifecycle = CallLifecycle(discovery, hooks, draw)
        self._backends = backends
        self._limits = limits
        self._validators = ValidatorProcesses()

    async def generate(self, request: GenerateRequest) -> GenerateResponse:
        """The whole reply.

        Raises:
            InvalidRequest: the request is invalid.
            UnknownModel: its model does not exist.
            ModelError: no backend could answer.
        """
        with await self._start(request) as attempts:
            for target in attempts.targets():
                try:
                    backend = self._backends[target.backend]
                    with backend.track_request() as provider:
                        attempts.model = await backend.model_for(target.model)
                        source = await with_format_emulation(
                            provider,
                            request,
                            attempts.model,
                            processes=self._validators,
                            record_usage=attempts.record_usage,
                        )
                        events = await source.generate(request, attempts.model)
                except ModelError as error:
                    attempts.record_error(error)
                else:
                    return accumulate(chain.from_iterable(map(attempts.transform_event, events)))
            raise AssertionError("targets() ends by raising")

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        """The reply's events as they arrive; raises as generate does, also between events."""
        with await self._start(request) as attempts:
            async with aclosing(await self._open_stream(attempts)) as stream:
                try:
                    for event in chain.from_iterable(map(attempts.transform_event, stream.first_events)):
                        yield event
                    async for event in stream.remaining_events:
                        for each in attempts.transform_event(event):
                            yield each
                except ModelError as error:
                    attempts.record_stream_error(error)
                    raise

    async def _open_stream(self, attempts: RequestAttempts) -> _OpenStream:
        """The stream of the first target that sends content; the caller closes it."""
        for target in attempts.targets():
            stream = _OpenStream(self._backends[target.backend], self._validators)
            try:
                await stream.open(attempts)
            except BaseException as error:
                await stream.aclose()
                if not isinstance(error, ModelError):
                    raise
                attempts.record_error(error)
            else:
                return stream
        raise AssertionError("targets() ends by raising")

    async def _start(self, request: GenerateRequest) -> RequestAttempts:
        validate_request(request, self._limits)
        return await self._lifecycle.start(request)


class _OpenStream:
    """The stream of one backend, from the request until it is closed."""

    def __init__(self, backend: Backend, validators: ValidatorProcesses) -> None:
        self._backend = backend
        self._validators = validators
        backend.in_flight += 1
        self.first_events: list[Event] = []
        """The events up to and with the first one that has content."""
        self.remaining_events: AsyncGenerator[Event] = _empty_stream()
        """The events after those."""

    async def open(self, attempts: RequestAttempts) -> None:
        """Sends the request and waits for the first event that has content.

        Raises:
            ModelError: the backend did not answer.
        """
        attempts.model = await self._backend.model_for(attempts.target.model)
        source = await with_format_emulation(
            self._backend.provider,
            attempts.request,
            attempts.model,
            processes=self._validators,
            record_usage=attempts.record_usage,
        )
        self.remaining_events = source.stream(attempts.request, attempts.model)
        async for event in self.remaining_events:
            self.first_events.append(event)
            if event.WhichOneof("event") != "started":
                return
        raise ProtocolViolation("the stream ended before any content")

    async def aclose(self) -> None:
        """Ends the request at the backend, if it is still running."""
        try:
            await self.remaining_events.aclose()
        finally:
            self._backend.in_flight -= 1


async def _empty_stream() -> AsyncGenerator[Event]:
    return
    yield  # makes it a generator
