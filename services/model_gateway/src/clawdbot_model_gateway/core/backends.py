"""A backend as the gateway runs it: a provider with a name, its models, and the slots for requests to it."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from types import TracebackType
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_STANDARD, GenerateRequest, Priority
from clawdbot.model_gateway.v1.model_admin_service_pb2 import BREAKER_STATE_UNSPECIFIED, QueueLength
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.regular_files import FileStates

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.drains import DrainStore
from clawdbot_model_gateway.core.errors import (
    BackendDraining,
    BackendRemoved,
    BackendTimeout,
    ModelMissing,
    Shed,
)
from clawdbot_model_gateway.core.failures.circuit_breaker import CircuitBreaker
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy
from clawdbot_model_gateway.core.limits.prices import Prices
from clawdbot_model_gateway.core.loop_lateness import LoopLateness
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.routing.peak_ewma import FAILURES, PeakEwma
from clawdbot_model_gateway.core.routing.routing_table import ANY_MODEL
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueLimits, Scheduler
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_input, estimate_tokens
from clawdbot_model_gateway.core.tokens.tokenization import CachingTokenizer
from clawdbot_model_gateway.core.traffic import Traffic

LIST_TIMEOUT: Final = 2.0
"""Seconds that a backend has to list its models, and to be connected to ahead of requests. Without a list,
any name may be requested from it."""
SILENCE: Final = 10.0
"""Seconds without content that a backend has failed with, where the attempt was given up. One that had less
time says little: its caller may have asked for the impossible."""
MAX_LATE: Final = 0.25
"""Part of the time for which a slot is held that the event loop may have been late. Otherwise it says little
about the backend."""
MAX_REST: Final = 60.0
"""Seconds that a backend is left alone at its own request: what it asks for may be due to a single model."""
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
    prices: Prices = field(default_factory=dict)
    """What its models cost."""
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(NO_LIMIT, QueueLimits(), time.monotonic))
    """Decides which request is sent next; by default all are, at once."""
    breaker: CircuitBreaker | None = None
    """Stops requests while the backend keeps failing; None: all are sent."""
    latency: PeakEwma = field(default_factory=PeakEwma)
    """How long it takes to answer."""
    drains: DrainStore | None = None
    """Tells whether an operator took it out of service; None: nobody can."""
    traffic: Traffic = field(default_factory=Traffic)
    """What became of its requests."""
    files: FileStates = ()
    """Those that its section names, as they were when it was made."""
    removed: bool = False
    """Whether a reload has removed or replaced it, and it is stopped."""
    predecessor: Backend | None = None
    """The backend that it has replaced, while that one finishes its requests."""
    failure: FailurePolicy = field(default_factory=FailurePolicy)
    """How long it is waited for, and how often it is asked again."""
    rests_until: float = 0.0
    """Until when it has asked to be left alone (time.monotonic), by Retry-After or the like."""
    lateness: LoopLateness = field(init=False)
    """Of the event loop, while requests wait."""
    _poll: asyncio.TimerHandle | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.lateness = LoopLateness(lambda: self.scheduler.waiting > 0)

    def slot(
        self,
        request: GenerateRequest | EmbedRequest,
        attempt: Attempt | None = None,
        expires_at: float = math.inf,
        *,
        last_resort: bool = False,
        judged: bool = True,
    ) -> Slot:
        """The way to the provider while the context lasts: `async with backend.slot(…) as provider`.

        Every call goes through it, so that admission, queueing, concurrency and accounting have one place.
        Entering it waits for a slot. It raises Shed where the request gets none, and BackendDraining,
        BackendRemoved or BreakerOpen where the backend is not available.

        Args:
            request: what is sent: its priority and its size count.
            attempt: its time to first content is a sign of the backend's load; None where the reply is not
                streamed.
            expires_at: when a slot is of no use any more (time.monotonic), if before the call's deadline.
            last_resort: whether it has failed elsewhere, so that it is sent although the breaker is open.
            judged: whether its outcome and its time say how well the backend works.
        """
        return Slot(self, request, attempt, expires_at, last_resort=last_resort, judged=judged)

    @property
    def available(self) -> bool:
        """Whether a new request had better go to it than elsewhere: it neither drains nor rests nor fails."""
        return not self.draining and (self.breaker is None or self.breaker.available) and not self.resting

    @property
    def resting(self) -> bool:
        """Whether it has asked to be left alone now."""
        return bool(self.rests_until) and time.monotonic() < self.rests_until

    @property
    def unavailable_seconds(self) -> float:
        """How long it will not be available, about; infinite while it is draining."""
        if self.draining:
            return math.inf
        rest = max(0.0, self.rests_until - time.monotonic())
        return rest if self.breaker is None else max(rest, self.breaker.retry_after)

    @property
    def draining(self) -> bool:
        """Whether an operator has stopped new requests to it."""
        return self.drains is not None and self.name in self.drains.names

    @property
    def shares_slots(self) -> bool:
        """Whether its limit holds for all workers of the machine together."""
        return self.scheduler.shared is not None

    @property
    def in_flight(self) -> int:
        """Number of requests that have a slot or wait for one, those of its predecessor included."""
        before = 0 if self.predecessor is None else self.predecessor.in_flight
        return self.scheduler.in_flight + self.scheduler.waiting + before

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

    async def warm(self) -> None:
        """Connects to it ahead of requests, within a short time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LIST_TIMEOUT):
                await self.provider.warm()

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
            idle_connections=self.provider.idle_connections,
            waiting_for_connection=self.provider.waiting_for_connection,
            **asdict(self.traffic),
            models=[each.name for each in self.models],
            draining=self.draining,
            max_concurrency=0 if self.scheduler.limit == NO_LIMIT else self.scheduler.limit,
            queues=[
                QueueLength(priority=Priority.ValueType(each), requests=self.scheduler.waiting_in(each))
                for each in CLASSES
            ],
            breaker=BREAKER_STATE_UNSPECIFIED if self.breaker is None else self.breaker.state,
        )


class Slot:
    """The right to send one request to a backend. Leaving the context frees it, exactly once."""

    __slots__ = (
        "_attempt",
        "_backend",
        "_began_at",
        "_breaker",
        "_expires_at",
        "_judged",
        "_last_resort",
        "_late",
        "_permit",
        "_request",
        "_waited",
    )

    def __init__(
        self,
        backend: Backend,
        request: GenerateRequest | EmbedRequest,
        attempt: Attempt | None,
        expires_at: float,
        *,
        last_resort: bool,
        judged: bool,
    ) -> None:
        self._backend = backend
        self._request = request
        self._attempt = attempt
        self._expires_at = expires_at
        self._last_resort = last_resort
        self._judged = judged
        self._breaker = backend.breaker if judged else None
        self._began_at = self._late = self._waited = 0.0
        self._permit = 0

    @property
    def answered(self) -> bool:
        """Whether content of a streamed reply has arrived."""
        return self._attempt is not None and self._attempt.first_content is not None

    async def __aenter__(self) -> Provider:
        if self._backend.draining:
            raise BackendDraining("an operator has stopped new requests to this backend")
        if self._backend.removed:
            raise BackendRemoved("the configuration does not have this backend any more")
        breaker = self._breaker
        if breaker is not None:
            self._permit = breaker.enter(self, last_resort=self._last_resort)
        if not self._backend.scheduler.enter():
            try:
                await self._wait()
            except BaseException as error:
                if breaker is not None:
                    breaker.leave(self._permit, error)
                raise
        self._began_at = time.monotonic()
        self._late = self._backend.lateness.seconds
        return self._backend.provider

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first_content = None if self._attempt is None else self._attempt.first_content
        if first_content is not None:
            first_content -= self._waited
        if self._judged:
            self._judge(error, first_content)
        late = self._backend.lateness.seconds - self._late
        is_typical = late <= MAX_LATE * (time.monotonic() - self._began_at)
        self._backend.scheduler.leave(self._began_at, error, first_content, is_typical=is_typical)

    def _judge(self, error: BaseException | None, first_content: float | None) -> None:
        """Notes what the request says about the backend."""
        now = time.monotonic()
        seconds = now - self._began_at
        if first_content is not None:
            self._backend.latency.answered(first_content, now)
        elif error is None:
            self._backend.latency.answered(seconds, now)
        else:
            silence = min(SILENCE, self._backend.failure.first_content_timeout or SILENCE)
            # Timers may be a moment early.
            if now >= self._expires_at - 0.001 and seconds >= silence - 0.01:
                error = BackendTimeout("no content in time")
            self._backend.latency.failed(error, seconds, now)
            if isinstance(error, FAILURES) and error.stated_wait:
                rest = now + min(MAX_REST, error.stated_wait)
                self._backend.rests_until = max(self._backend.rests_until, rest)
        if self._breaker is not None:
            self._breaker.leave(self._permit, error)

    async def _wait(self) -> None:
        """Returns with a slot.

        Raises:
            Shed: it gets none.
            BreakerOpen: the backend was found not to work meanwhile.
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
        self._backend.lateness.watch()
        try:
            await turn
            if self._breaker is not None:
                self._permit = self._breaker.renew(self._permit, self, last_resort=self._last_resort)
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
    return estimate_input(request)
