"""A backend as the gateway runs it: a provider with a name, its models, and the slots for requests to it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_STANDARD, GenerateRequest, Priority
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState
from clawdbot.model_gateway.v1.model_admin_service_pb2 import QueueLength
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.attempts import Attempt
from clawdbot_model_gateway.core.errors import BackendTimeout, ModelMissing, Shed
from clawdbot_model_gateway.core.failure_policy import FailurePolicy
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.core.token_estimate import estimate_tokens, estimate_usage
from clawdbot_model_gateway.core.tokenization import CachingTokenizer

LIST_TIMEOUT: Final = 2.0
"""Seconds that a backend has to list its models; without a list, any name may be requested from it."""
POLL_INTERVAL: Final = 0.005
"""Seconds after which requests that wait ask again for a slot that other processes share."""


@dataclass(slots=True)
class Backend:
    """One endpoint that serves models."""

    name: str
    provider_name: str
    """Name of the provider's entry point, such as "openai_compatible"."""
    provider: Provider
    models: tuple[VendorModel, ...] = ()
    """The known models, the preferred one first; empty where the backend did not list them."""
    preferred_model: str = ""
    """The model to use first, where the configuration names one."""
    models_are_configured: bool = False
    """Whether the configuration lists all its models, so that the backend is not asked for them."""
    tokenizer: CachingTokenizer | None = None
    """Counts tokens locally, where the configuration names a tokenizer file."""
    default_temperature: float | None = None
    """Of requests that set none; None: the model's own."""
    fingerprint: bytes = b""
    """Of all settings that change its replies, so that a reply is not cached across a change of them."""
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(NO_LIMIT, QueueLimits(), time.monotonic))
    """Decides which request is sent next; by default all are, at once."""
    failure: FailurePolicy = field(default_factory=FailurePolicy)
    """How long it is waited for, and how often it is asked again."""
    _poll: asyncio.TimerHandle | None = field(init=False, default=None)

    def slot(
        self,
        request: GenerateRequest | EmbedRequest,
        attempt: Attempt | None = None,
        expires_at: float = math.inf,
    ) -> Slot:
        """The way to the provider while the context lasts: `async with backend.slot(…) as provider`.

        Every call goes through it, so that admission, queueing, concurrency and accounting have one place.
        Entering it waits for a slot, and raises Shed where the request gets none.

        Args:
            request: what is sent: its priority and its size count.
            attempt: its time to first content is a sign of the backend's load; None where the reply is not
                streamed.
            expires_at: when a slot is of no use any more (time.monotonic), if before the call's deadline.
        """
        return Slot(self, request, attempt, expires_at)

    @property
    def in_flight(self) -> int:
        """Number of requests that have a slot or wait for one."""
        return self.scheduler.in_flight + self.scheduler.waiting

    def poll_shared_slots(self) -> None:
        """Has the requests that wait ask again and again, where other processes may free a slot."""
        if self.scheduler.shared is not None and self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._ask_again)

    def _ask_again(self) -> None:
        self._poll = None
        self.scheduler.dispatch()
        if self.scheduler.waiting:
            self.poll_shared_slots()

    async def model_for(self, model: str) -> str:
        """The vendor's name of a target's model; for ANY_MODEL the first one that the backend lists.

        Raises:
            ModelError: the backend has to be asked for its models and does not list any.
        """
        if model != ANY_MODEL:
            return model
        if not self.models:
            self.models = tuple(await self.provider.list_models())
        if not self.models:
            raise ModelMissing("the backend lists no models")
        return self.models[0].name

    async def refresh_models(self, first: list[str]) -> int:
        """Asks the backend for its models, with a short timeout, and returns how many it lists.

        Args:
            first: names of models that come first, whether they are listed or not.

        Raises:
            ModelError: it does not list them; the models are as before.
        """
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                listed = await self.provider.list_models()
        except TimeoutError:
            raise BackendTimeout(f"no list of models within {LIST_TIMEOUT:g} s") from None
        by_name = {each.name: each for each in listed}
        leading = [by_name.pop(name, VendorModel(name)) for name in first]
        self.models = (*leading, *by_name.values())
        return len(listed)

    def display_name(self, model: str) -> str:
        """A target's model for people to read: the actual name in place of ANY_MODEL, where it is known."""
        return self.models[0].name if model == ANY_MODEL and self.models else model

    @property
    def state(self) -> BackendState:
        """The backend as ListBackends returns it."""
        return BackendState(
            name=self.name,
            provider=self.provider_name,
            endpoint=self.provider.endpoint,
            requests_in_flight=self.in_flight,
            open_connections=self.provider.open_connections,
            models=[each.name for each in self.models],
            max_concurrency=0 if self.scheduler.limit == NO_LIMIT else self.scheduler.limit,
            queues=[
                QueueLength(priority=Priority.ValueType(each), requests=self.scheduler.waiting_in(each))
                for each in CLASSES
            ],
        )


class Slot:
    """The right to send one request to a backend. Leaving the context frees it, exactly once."""

    __slots__ = ("_attempt", "_backend", "_began_at", "_expires_at", "_request", "_waited")

    def __init__(
        self,
        backend: Backend,
        request: GenerateRequest | EmbedRequest,
        attempt: Attempt | None,
        expires_at: float,
    ) -> None:
        self._backend = backend
        self._request = request
        self._attempt = attempt
        self._expires_at = expires_at
        self._began_at = self._waited = 0.0

    async def __aenter__(self) -> Provider:
        if not self._backend.scheduler.enter():
            await self._wait()
        self._began_at = time.monotonic()
        return self._backend.provider

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first_content = None if self._attempt is None else self._attempt.first_content
        if first_content is not None:
            first_content -= self._waited
        self._backend.scheduler.leave(self._began_at, error, first_content)

    async def _wait(self) -> None:
        """Returns with a slot.

        Raises:
            Shed: it gets none.
        """
        loop = asyncio.get_running_loop()
        scheduler = self._backend.scheduler
        turn: asyncio.Future[None] = loop.create_future()
        left = deadline.remaining()
        now = time.monotonic()
        waiter = scheduler.enqueue(
            self._request.priority if self._request.priority in CLASSES else PRIORITY_STANDARD,
            current_caller().tenant,
            _estimated_tokens(self._request),
            self._expires_at if left is None else min(self._expires_at, now + left - deadline.MARGIN),
            partial(_end_wait, turn),
        )
        timer = loop.call_later(waiter.expires_at - now, scheduler.expire, waiter)
        self._backend.poll_shared_slots()
        try:
            await turn
        except BaseException:
            scheduler.abandon(waiter)
            raise
        finally:
            timer.cancel()
            self._waited = time.monotonic() - now
            annotate(queue_ms=round(self._waited * 1000, 1))


def _end_wait(turn: asyncio.Future[None], error: Shed | None) -> None:
    """A caller that was cancelled has not left yet; it abandons its slot itself."""
    if turn.done():
        return
    if error is None:
        turn.set_result(None)
    else:
        turn.set_exception(error)


def _estimated_tokens(request: GenerateRequest | EmbedRequest) -> int:
    """What a request costs, by its input: nobody knows how long the reply will be."""
    if isinstance(request, EmbedRequest):
        return sum(map(estimate_tokens, request.texts))
    return estimate_usage(request, 0).input_tokens
