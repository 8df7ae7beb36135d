"""The attempts of one request: which targets are tried, what each came to, and what they cost together."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

import structlog
from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED, FinishReason
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_UNSPECIFIED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_BYPASS,
    CACHE_STATUS_HIT,
    CacheStatus,
    GenerateRequest,
)
from clawdbot_model_client.usage import sum_usage
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import DeadlineExpired

from clawdbot_model_gateway.core.errors import (
    OURS,
    BackendTimeout,
    BreakerOpen,
    ModelError,
    ProtocolViolation,
)
from clawdbot_model_gateway.core.events import Event, finished, has_content, usage
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy
from clawdbot_model_gateway.core.limits.prices import Prices, price_of
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve, Spending, as_cached
from clawdbot_model_gateway.core.tokens.token_estimate import TokenEstimator, estimate_usage, with_estimates

log = structlog.get_logger(__name__)

CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
TRUNCATED: Final = "TRUNCATED"
FINISH_REASONS: Final = {number: name.removeprefix("FINISH_REASON_") for name, number in FinishReason.items()}


class Attempt:
    """One try at one target. Several of one request may run at the same time.

    While its context lasts the attempt has a limited time: see `within`.

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

    def within(self, policy: FailurePolicy, seconds: float | None = None) -> Self:
        """Itself, to be entered: from then on it has its share of the deadline, until the first content.

        Args:
            policy: of the target's backend.
            seconds: that it has at most, where it is limited to less than its share.
        """
        self.policy = policy
        policy.count_request()
        if seconds is not None and seconds < self._seconds:
            self._seconds = seconds
        return self

    async def __aenter__(self) -> Self:
        if self._seconds < math.inf:
            self._timer = asyncio.timeout(self.expires_at - time.monotonic())
            await self._timer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises BackendTimeout if its time was over."""
        if self._timer is None:
            return
        try:
            await self._timer.__aexit__(kind, error, trace)
        except TimeoutError:
            raise BackendTimeout(f"no content within {self._seconds:.3g} s") from error

    def record_usage(self, cost: Usage) -> None:
        """Notes the cost of a reply that the caller may never see; a `usage` event includes it."""
        self._unreported.append(cost)

    def hand_over(self, heir: Attempt) -> None:
        """Has another attempt pay for the call that both share."""
        heir.free, self.free = False, True
        heir._unreported, self._unreported = self._unreported, []
        heir.spending = self.spending

    def take(self, event: Event) -> Iterable[Event]:
        """What to send for a provider's event: nothing before the first content, then all that was held."""
        if self.first_content is not None:
            return self._complete(event)
        self._held.append(event)
        if not has_content(event):
            return ()
        self.first_content = time.monotonic() - self._started_at
        if self.policy is not None:
            self.policy.saw_first_content(self.first_content)
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(None)
        held, self._held = self._held, []
        return [each for one in held for each in self._complete(one)]

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
        return self._complete(finished(FINISH_REASON_TRUNCATED))

    @property
    def cost(self) -> Usage:
        """What the attempt cost; empty where nothing was generated, or someone else pays."""
        if self.free:
            return Usage()
        reported = self.usage
        if reported.provenance == USAGE_PROVENANCE_UNSPECIFIED:
            for event in self._held:
                if event.HasField("usage"):
                    reported = with_estimates(event.usage, self.request, self._output)
        given_up = (self.outcome == CANCELLED or self.charged) and self.spending.sent and not self._unreported
        if reported.provenance == USAGE_PROVENANCE_UNSPECIFIED and (self._output.tokens or given_up):
            # It ended before the backend reported usage, and is billed all the same.
            reported = self.spending.usage(self.request, self._output)
        if self.outcome == TRUNCATED and reported.output_tokens < self._output.tokens:
            sent, reported = reported, Usage()  # the backend's last count is that of an earlier moment
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

    def _complete(self, event: Event) -> Iterable[Event]:
        """The event with what the gateway adds; estimated usage before the end, where none came."""
        kind = event.WhichOneof("event")
        if self.cache_status == CACHE_STATUS_HIT and kind not in {"started", "usage", "finished"}:
            return (event,)  # nothing to estimate: a stored reply has its usage
        if kind == "text_delta":
            self._output.add(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._output.add(event.reasoning_delta.text)
        elif kind == "tool_call_delta":
            self._output.add(event.tool_call_delta.arguments)
        elif kind == "usage":
            counted = with_estimates(event.usage, self.request, self._output)
            self.usage = as_cached(counted) if self.free else self.priced(counted)
            self._unreported.clear()
            return (usage(self.usage),)
        elif kind == "started":
            started = event.started
            started.backend, started.attempt = self.target.backend, self.number
            started.cache_status = self.cache_status
        elif kind == "finished":
            self.outcome = FINISH_REASONS.get(event.finished.finish_reason, INTERNAL)
            if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED:
                estimate = estimate_usage(self.request, self._output.tokens)
                self.usage = as_cached(estimate) if self.free else self.priced(estimate)
                return (usage(self.usage), event)
        return (event,)


class RequestAttempts:
    """The attempts of a request, in the order of its targets. Leaving the context settles the outcome."""

    def __init__(
        self,
        request: GenerateRequest,
        targets: Sequence[Target],
        on_done: Callable[[RequestAttempts], None],
    ) -> None:
        self.request = request
        self.made: list[Attempt] = []
        """All attempts, in the order in which they began."""
        self.outcome = INTERNAL
        """Of the attempt that answered, else of the request: an error's reason, CANCELLED or INTERNAL."""
        self.usage = Usage()
        """What all attempts cost together. Set when the context is left."""
        self.answered: Attempt | None = None
        """The attempt that answered; None before it has, and where it is simply the last one."""
        self.reserve: Reserve | None = None
        self._targets = targets
        self._on_done = on_done
        self._failed: list[tuple[Attempt, ModelError]] = []
        self._started_at = time.monotonic()

    def __aiter__(self) -> Self:
        """The attempts. Asking for the next one means that the last one failed: see `record_error`."""
        return self

    async def __anext__(self) -> Attempt:
        """The next attempt, at the next of the targets; a target may be among them more than once.

        Each gets an equal share of what is left of the deadline, the last one all of it. Once no target is
        left, those whose breaker was open are asked all the same, if another one was asked; then one that has
        failed is asked again, after a time, if its backend's policy allows it.

        Raises:
            ModelError: no target is left. The first transient error, else the last error.
        """
        number = len(self.made)
        last_resort = any(not isinstance(error, OURS) for _, error in self._failed)
        rest = self._targets[number:] or (self._not_asked() if last_resort else ())
        target = rest[0] if rest else await self._wait_for_retry()
        attempt = Attempt(self.request, target, number + 1, _share(len(rest)), last_resort=last_resort)
        attempt.reserve = self.reserve
        self.made.append(attempt)
        return attempt

    @property
    def last(self) -> Attempt:
        """The attempt that answered, or the last one that failed."""
        return self.answered or self.made[-1]

    @property
    def has_next(self) -> bool:
        """Whether there is a target that was not asked yet."""
        return len(self.made) < len(self._targets)

    @property
    def seconds(self) -> float:
        """Seconds since the request started."""
        return time.monotonic() - self._started_at

    def record_error(self, attempt: Attempt, error: ModelError) -> None:
        """Notes that an attempt failed; returns where another one may do better.

        Raises:
            ModelError: the same error. Content was sent and cannot be taken back, or no target can do better.
            DeadlineExpired: no time is left for another attempt.
        """
        attempt.outcome, attempt.failed = error.reason, True
        attempt.charged = error.worked_on or not error.answered
        name = attempt.target_name
        error.set_target(name)
        self._failed.append((attempt, error))
        if not attempt.free:  # of those that share a call, the one that pays for it says so
            log.warning("attempt_failed", target=name, attempt=attempt.number, **error.log_fields)
        if attempt.first_content is not None or not error.retry_elsewhere:
            raise error
        left = deadline.remaining()
        if left is not None and left <= deadline.MARGIN and attempt.number < len(self._targets):
            raise DeadlineExpired from error

    def rest_after(self, attempt: Attempt, error: ModelError) -> Iterable[Event]:
        """What to send after an error: the end of a reply that fell silent, else nothing.

        Raises: as `record_error`.
        """
        if attempt.first_content is None or not isinstance(error, BackendTimeout):
            self.record_error(attempt, error)
            return ()
        self.answered = attempt
        return attempt.cut_off(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ModelError):
            self.outcome = error.reason
        elif isinstance(error, asyncio.CancelledError | GeneratorExit | DeadlineExpired):
            self.outcome = CANCELLED
            for each in self.made:
                if each.outcome == INTERNAL:
                    each.outcome = CANCELLED
        elif error is None and self.made:
            self.outcome = self.last.outcome
        costs = [cost for each in self.made if (cost := each.cost).provenance != USAGE_PROVENANCE_UNSPECIFIED]
        if costs:
            self.usage = costs[0] if len(costs) == 1 else sum_usage(costs)
        self._on_done(self)

    def _not_asked(self) -> Sequence[Target]:
        """The targets whose breaker was open, and that were not asked since."""
        errors = {attempt.target: error for attempt, error in self._failed}
        return [target for target, error in errors.items() if isinstance(error, BreakerOpen)]

    async def _wait_for_retry(self) -> Target:
        """The target to ask again, once its time has come.

        Raises:
            ModelError: none may be asked again before the deadline.
        """
        last = {
            attempt.target: (attempt.policy, error)
            for attempt, error in self._failed
            if attempt.policy is not None
        }
        tries = Counter(each.target for each in self.made)
        left = deadline.outgoing_timeout()
        waits = [
            (delay, target)
            for target, (policy, error) in last.items()
            if (delay := policy.delay(error, tries[target] - 1)) is not None
            and (left is None or delay < left)
        ]
        for delay, target in sorted(waits, key=lambda each: each[0]):
            if last[target][0].spend_retry():
                await asyncio.sleep(delay)
                return target
        raise self._final_error()

    def _final_error(self) -> ModelError:
        errors = [error for _, error in self._failed]
        chosen = next((each for each in errors if each.transient), errors[-1])
        others = [each for each in errors if each is not chosen]
        for words, kind in ((" Also tried", False), (" Not asked", True)):
            listed = dict.fromkeys(each.label for each in others if isinstance(each, OURS) is kind)
            if listed:
                chosen.other_attempts += f"{words}: {', '.join(listed)}."
        return chosen


def _share(targets: int) -> float:
    """Seconds of the deadline for the next of so many targets; infinite for the last one."""
    left = deadline.outgoing_timeout() if targets > 1 else None
    return math.inf if left is None else left / targets
