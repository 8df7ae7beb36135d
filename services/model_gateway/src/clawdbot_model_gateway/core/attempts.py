"""The attempts of one request: which targets are tried, what came of it, and what they cost together."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import structlog
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_model_client.usage import sum_usage
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import DeadlineExpired

from clawdbot_model_gateway.core.attempt import CANCELLED, INTERNAL, Attempt
from clawdbot_model_gateway.core.errors import OURS, BackendTimeout, BreakerOpen, ModelError
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve

log = structlog.get_logger(__name__)


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
        last_resort = bool(number) and any(not isinstance(error, OURS) for _, error in self._failed)
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
    def next_target(self) -> Target | None:
        """The first target that was not asked yet; None: all were."""
        made = len(self.made)
        return self._targets[made] if made < len(self._targets) else None

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
        error.set_target(attempt.target_name)
        self._failed.append((attempt, error))
        if not attempt.free:
            # Of those that share a call, the one that pays for it says so.
            log.warning(
                "attempt_failed", target=attempt.target_name, attempt=attempt.number, **error.log_fields
            )
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
        elif isinstance(error, (asyncio.CancelledError, DeadlineExpired)):
            self.outcome = CANCELLED
            for each in self.made:
                if each.outcome == INTERNAL:
                    each.outcome = CANCELLED
        elif self.made:
            self.outcome = self.last.outcome
        costs = [each.settle() for each in self.made]
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
