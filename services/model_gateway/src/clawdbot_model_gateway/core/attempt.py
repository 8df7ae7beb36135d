"""One try at one target: what of its reply is sent, and what it cost."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog
from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED, FinishReason
from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_CACHED,
    USAGE_PROVENANCE_UNSPECIFIED,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_BYPASS,
    CACHE_STATUS_HIT,
    CacheStatus,
    GenerateRequest,
)
from clawdbot_model_client.usage import sum_usage

from clawdbot_model_gateway.core.errors import BackendTimeout, ProtocolViolation
from clawdbot_model_gateway.core.events import Event, Send, finished, has_content, usage
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy
from clawdbot_model_gateway.core.limits.prices import Prices, price_of
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve, Spending, as_cached
from clawdbot_model_gateway.core.tokens.token_estimate import TokenEstimator, with_estimates

log = structlog.get_logger(__name__)

T = TypeVar("T")

CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
TRUNCATED: Final = "TRUNCATED"
DELTAS: Final = ("text_delta", "reasoning_delta", "tool_call_delta")
FINISH_REASONS: Final = {number: name.removeprefix("FINISH_REASON_") for name, number in FinishReason.items()}


class Attempt:
    """One try at one target, in limited time: see `in_time`. Several of a request may run at the same time.

    Args:
        request: what to answer.
        target: whom to ask.
        number: from 1.
        share: seconds of the call's deadline that it may use before its first content; infinite where no
            other target is left, so that the deadline itself is enough.
        last_resort: whether the request has failed elsewhere, so that the target is asked in any case.
    """

    def __init__(
        self,
        request: GenerateRequest,
        target: Target,
        number: int,
        share: float = math.inf,
        *,
        last_resort: bool = False,
    ) -> None:
        self.request = request
        self.target = target
        self.number = number
        self.last_resort = last_resort
        self.policy: FailurePolicy | None = None
        """Of the target's backend, once it is known."""
        self.model = ""
        """The vendor's name of its model; empty until it is known."""
        self.prices: Prices = {}
        """Of its backend's models."""
        self.usage = Usage()
        """Tokens as the backend reported them, else estimated; empty where nothing was generated."""
        self.outcome = INTERNAL
        """The finish reason without its prefix, the error's reason, CANCELLED or INTERNAL."""
        self.first_content: float | None = None
        """Seconds until the first content; None before it. From then on the reply is sent to the caller."""
        self.failed = self.charged = False
        """Whether it ended with an error of its backend; whether it may cost something after that."""
        self.cache_status: CacheStatus.ValueType = CACHE_STATUS_BYPASS
        self.reserve: Reserve | None = None
        """To be awaited before its backend is asked; None: all that it may use is reserved."""
        self.free = False
        """Whether the reply costs nothing: it was cached, or another attempt pays for a shared call."""
        self._started_at = time.monotonic()
        self._seconds = share
        self._timer: asyncio.Timeout | None = None
        self._held: list[Event] = []
        """The events before the first content, which are not sent if the attempt fails."""
        self._settled: Usage | None = None
        """What it cost, once it has ended."""
        self._unreported: list[Usage] = []
        """Cost of replies that the caller does not see, until a `usage` event includes it."""
        self._output = TokenEstimator()
        self.spending = Spending()
        """What is known of the cost before the backend reports it."""

    @property
    def target_name(self) -> str:
        """The target for people to read: with the actual model where the target names any model."""
        return f"{self.target.backend}/{self.model or self.target.model}"

    @property
    def expires_at(self) -> float:
        """When it is given up if it has no content then (time.monotonic); infinite where it has no limit."""
        return self._started_at + self._seconds

    def begin(self, policy: FailurePolicy, seconds: float | None = None) -> None:
        """It is made now.

        Args:
            policy: of the target's backend.
            seconds: that it has at most until its first content, where that is less than its share.
        """
        self.policy = policy
        policy.count_request()
        if seconds is not None and seconds < self._seconds:
            self._seconds = seconds

    def in_time(self, work: Awaitable[T]) -> Awaitable[T]:
        """What the work comes to; BackendTimeout where its time is over before the first content."""
        return work if self._seconds == math.inf else self._limited(work)

    async def _limited(self, work: Awaitable[T]) -> T:
        self._timer = asyncio.timeout(self.expires_at - time.monotonic())
        try:
            async with self._timer:
                return await work
        except TimeoutError as error:
            if not self._timer.expired():
                raise
            raise BackendTimeout(f"no content within {self._seconds:.3g} s") from error

    def record_usage(self, cost: Usage) -> None:
        """Notes the cost of a reply that the caller may never see; a `usage` event includes it."""
        self._unreported.append(cost)

    def hand_over(self, heir: Attempt) -> None:
        """Has another attempt pay for the call that both share."""
        heir.free, self.free = False, True
        heir._unreported, self._unreported = self._unreported, []
        heir.spending = self.spending

    async def take(self, send: Send, events: Sequence[Event]) -> None:
        """Sends a backend's events on: nothing before the first content, then all that was held."""
        if self.first_content is None:
            self._held += events
            if not any(map(has_content, events)):
                return
            self._saw_content()
            events, self._held = self._held, []
        try:
            await send(self._completed(events))
        except Exception:
            # Nobody takes it any more.
            self.outcome = CANCELLED
            raise

    def end(self) -> None:
        """The reply is over.

        Raises:
            ProtocolViolation: it had no content.
        """
        if self.first_content is None:
            raise ProtocolViolation("the stream ended before any content")

    def cut_off(self, error: BackendTimeout) -> Iterable[Event]:
        """The end of a reply in the middle of which the backend fell silent: what was sent stays as it is."""
        log.warning("reply_cut_off", target=self.target_name, attempt=self.number, **error.log_fields)
        return self._completed([finished(FINISH_REASON_TRUNCATED)])

    def _saw_content(self) -> None:
        """Notes the first content, with which the limit of its time ends."""
        self.first_content = time.monotonic() - self._started_at
        if self.policy is not None:
            self.policy.saw_first_content(self.first_content)
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(None)

    @property
    def cost(self) -> Usage:
        """What the attempt cost, so far if it runs; empty if nothing was generated, or someone else pays."""
        return self._used(is_running=True) if self._settled is None else self._settled

    def settle(self) -> Usage:
        """What the attempt cost, now that it has ended."""
        self._settled = self._used(is_running=False)
        return self._settled

    def _used(self, *, is_running: bool) -> Usage:
        if self.free:
            return Usage()
        reported = self.usage
        if reported.provenance == USAGE_PROVENANCE_UNSPECIFIED:
            for event in self._held:
                if event.HasField("usage"):
                    reported = self._with_estimates(event.usage)
        # Until it has ended an attempt is INTERNAL. One that ends so was refused by us, or met a bug of ours.
        open_end = self.charged or self.outcome == CANCELLED or (is_running and self.outcome == INTERNAL)
        given_up = open_end and self.spending.sent and not self._unreported
        if reported.provenance == USAGE_PROVENANCE_UNSPECIFIED and (self._output.tokens or given_up):
            # It ended before the backend reported usage, and is billed all the same.
            reported = self.spending.usage(self.request, self._output)
        if self.outcome == TRUNCATED and reported.output_tokens < self._output.tokens:
            # The backend's last count is that of an earlier moment.
            sent, reported = reported, Usage()
            reported.CopyFrom(sent)
            reported.output_tokens = self._output.tokens
        if self._unreported:
            reported = sum_usage([*self._unreported, *([reported] if reported.provenance else [])])
        return self.priced(reported)

    def priced(self, used: Usage) -> Usage:
        """The same usage with what it costs; as it was where its model has no price."""
        if self.prices and used.provenance != USAGE_PROVENANCE_UNSPECIFIED:
            price = price_of(self.prices, self.model)
            if price is not None:
                used.cost_micros = price.cost(used)
        return used

    def _with_estimates(self, reported: Usage) -> Usage:
        return with_estimates(reported, partial(self.spending.estimated_input, self.request), self._output)

    def _completed(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events with what the gateway adds; estimated usage before the end, where none came."""
        # Of a stored reply nothing need be estimated.
        deltas = () if self.cache_status == CACHE_STATUS_HIT else DELTAS
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "usage":
                yield self._counted(event)
                continue
            if kind in deltas:
                self._output.add(
                    event.text_delta.text or event.reasoning_delta.text or event.tool_call_delta.arguments
                )
            elif kind == "started":
                started = event.started
                started.backend, started.attempt = self.target.backend, self.number
                started.cache_status = self.cache_status
            elif kind == "finished":
                self.outcome = FINISH_REASONS.get(event.finished.finish_reason, INTERNAL)
                if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED:
                    estimate = self.spending.estimate(self.request, self._output)
                    self.usage = as_cached(estimate) if self.free else self.priced(estimate)
                    yield usage(self.usage)
            yield event

    def _counted(self, event: Event) -> Event:
        """The event `usage` as the caller sees it, which is noted."""
        self._unreported.clear()
        reported = event.usage
        if reported.provenance == USAGE_PROVENANCE_CACHED:
            self.usage = reported  # of a stored reply
            return event
        counted = self._with_estimates(reported)
        self.usage = as_cached(counted) if self.free else self.priced(counted)
        return event if self.usage is reported else usage(self.usage)
