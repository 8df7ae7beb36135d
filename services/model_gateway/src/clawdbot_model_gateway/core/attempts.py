"""One request on its way: which targets are tried, what has failed so far, what passed, and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import structlog
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_UNSPECIFIED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import CACHE_STATUS_BYPASS, GenerateRequest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import DeadlineExpired

from clawdbot_model_gateway.core.errors import ModelFailure
from clawdbot_model_gateway.core.events import Event, used
from clawdbot_model_gateway.core.routing import Target
from clawdbot_model_gateway.core.token_estimate import TokenEstimate, estimated_usage
from clawdbot_model_gateway.core.usage import summed

log = structlog.get_logger(__name__)

CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
WORDS: Final = {number: name.removeprefix("FINISH_REASON_") for name, number in FinishReason.items()}


class Run:
    """Goes through the targets in order. A context manager: leaving it settles how the request ended."""

    def __init__(
        self, request: GenerateRequest, targets: Sequence[Target], done: Callable[[Run], None]
    ) -> None:
        self.request = request
        self.target = targets[0]
        """The target that is tried now, or answered."""
        self.model = ""
        """The vendor's name of its model, once it is known."""
        self.attempt = 0
        """Its number, from 1."""
        self.usage = Usage()
        """What it cost; empty where nothing was said."""
        self.outcome = INTERNAL
        """Why the model stopped, without the prefix; the reason of the failure; CANCELLED or INTERNAL."""
        self._targets = targets
        self._done = done
        self._failures: list[ModelFailure] = []
        self._spent: list[Usage] = []
        """What failures cost besides."""
        self._unshown: list[Usage] = []
        """What this attempt has cost so far for what is not shown."""
        self._output = TokenEstimate()
        self._begun = time.monotonic()

    def attempts(self) -> Iterator[Target]:
        """Each target to try. Goes on to the next one only when it is asked to: after `failed`.

        Raises:
            ModelFailure: none is left; the first failure that waiting would mend, else the last one.
        """
        for attempt, target in enumerate(self._targets, 1):
            self.attempt, self.target, self.model = attempt, target, ""
            yield target
        raise self._verdict()

    def failed(self, failure: ModelFailure) -> None:
        """Notes that the target of this attempt did not answer.

        Raises:
            ModelFailure: the same, when no other target could do better.
            DeadlineExpired: when there is no time for another.
        """
        self._note(failure)
        if not failure.elsewhere:
            raise failure
        left = deadline.remaining()
        if left is not None and left <= deadline.MARGIN and self.attempt < len(self._targets):
            raise DeadlineExpired from failure

    def broke(self, failure: ModelFailure) -> None:
        """Notes a failure after the first event; the caller raises it: what was sent cannot be unsaid."""
        self._note(failure)

    def paid(self, usage: Usage) -> None:
        """Notes what an answer cost that is not shown; the usage of one that is has it in it."""
        self._unshown.append(usage)

    def passing(self, event: Event) -> Iterable[Event]:
        """What to send for a provider's event: the event, completed, and an estimate if nobody counted."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._output.add(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._output.add(event.reasoning_delta.text)
        elif kind == "tool_call_delta":
            self._output.add(event.tool_call_delta.arguments)
        elif kind == "usage":
            self.usage = event.usage
            self._unshown.clear()
        elif kind == "started":
            started = event.started
            started.backend, started.attempt = self.target.backend, self.attempt
            started.cache_status = CACHE_STATUS_BYPASS
        elif kind == "finished":
            self.outcome = WORDS.get(event.finished.finish_reason, INTERNAL)
            if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED:
                self.usage = estimated_usage(self.request, self._output.tokens)
                return (used(self.usage), event)
        return (event,)

    @property
    def target_name(self) -> str:
        """The target as people should see it: with its model's name where it was only said to be any."""
        return f"{self.target.backend}/{self.model or self.target.model}"

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ModelFailure):
            self.outcome = error.reason
        elif isinstance(error, asyncio.CancelledError | GeneratorExit | DeadlineExpired):
            self.outcome = CANCELLED
        elif error is not None:
            self.outcome = INTERNAL
        if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED and self._output.tokens:
            # It ended too early for a count, and is paid for all the same.
            self.usage = estimated_usage(self.request, self._output.tokens)
        self._spent += self._unshown
        if self._spent:
            self.usage = summed([*self._spent, self.usage] if self.usage.provenance else self._spent)
        self._done(self)

    def _note(self, failure: ModelFailure) -> None:
        failure.on(self.target_name)
        self._failures.append(failure)
        self._spent += self._unshown
        self._unshown.clear()
        log.warning(
            "attempt_failed",
            target=self.target_name,
            attempt=self.attempt,
            reason=failure.reason,
            detail=failure.detail,
        )

    def _verdict(self) -> ModelFailure:
        chosen = next((each for each in self._failures if each.passing), self._failures[-1])
        others = [f"{each.target} {each.reason}" for each in self._failures if each is not chosen]
        if others:
            chosen.before = f" Tried besides: {', '.join(others)}."
        return chosen
