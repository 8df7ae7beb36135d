"""The attempts of one request: which targets are tried, which errors occurred, what it cost, how it ended."""

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
from clawdbot_model_client.usage import sum_usage
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import DeadlineExpired

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.routing import Target
from clawdbot_model_gateway.core.token_estimate import TokenEstimator, estimate_usage

log = structlog.get_logger(__name__)

CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
FINISH_REASONS: Final = {number: name.removeprefix("FINISH_REASON_") for name, number in FinishReason.items()}


class RequestAttempts:
    """Tries the targets in order. A context manager: leaving it settles the outcome of the request."""

    def __init__(
        self,
        request: GenerateRequest,
        targets: Sequence[Target],
        on_done: Callable[[RequestAttempts], None],
    ) -> None:
        self.request = request
        self.target = targets[0]
        """The target of the current attempt, or the one that answered."""
        self.model = ""
        """The vendor's name of its model; empty until it is known."""
        self.attempt = 0
        """Number of the current attempt, from 1."""
        self.usage = Usage()
        """Tokens used; empty where nothing was generated."""
        self.outcome = INTERNAL
        """The finish reason without its prefix, the error's reason, CANCELLED or INTERNAL."""
        self._targets = targets
        self._on_done = on_done
        self._errors: list[ModelError] = []
        self._failed_usage: list[Usage] = []
        """What failed attempts cost."""
        self._hidden_usage: list[Usage] = []
        """What the current attempt has cost for replies that the caller does not see."""
        self._output = TokenEstimator()
        self._started_at = time.monotonic()

    def targets(self) -> Iterator[Target]:
        """Each target to try. Asking for the next one means that the last one failed: `record_error`.

        Raises:
            ModelError: no target is left. The first transient error, else the last error.
        """
        for attempt, target in enumerate(self._targets, 1):
            self.attempt, self.target, self.model = attempt, target, ""
            yield target
        raise self._final_error()

    def record_error(self, error: ModelError) -> None:
        """Notes that the current attempt failed.

        Raises:
            ModelError: the same, where no other target can do better.
            DeadlineExpired: no time is left for another attempt.
        """
        self._record(error)
        if not error.retry_elsewhere:
            raise error
        left = deadline.remaining()
        if left is not None and left <= deadline.MARGIN and self.attempt < len(self._targets):
            raise DeadlineExpired from error

    def record_stream_error(self, error: ModelError) -> None:
        """Notes an error after the first event. The caller raises it: sent events cannot be taken back."""
        self._record(error)

    def record_usage(self, usage: Usage) -> None:
        """Notes the cost of a reply that the caller may never see; a `usage` event includes it."""
        self._hidden_usage.append(usage)

    def transform_event(self, event: Event) -> Iterable[Event]:
        """What to send for a provider's event: the completed event, and estimated usage where none came."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._output.add(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._output.add(event.reasoning_delta.text)
        elif kind == "tool_call_delta":
            self._output.add(event.tool_call_delta.arguments)
        elif kind == "usage":
            self.usage = event.usage
            self._hidden_usage.clear()
        elif kind == "started":
            started = event.started
            started.backend, started.attempt = self.target.backend, self.attempt
            started.cache_status = CACHE_STATUS_BYPASS
        elif kind == "finished":
            self.outcome = FINISH_REASONS.get(event.finished.finish_reason, INTERNAL)
            if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED:
                self.usage = estimate_usage(self.request, self._output.tokens)
                return (events.usage(self.usage), event)
        return (event,)

    @property
    def target_name(self) -> str:
        """The target for people to read: with the actual model where the target names any model."""
        return f"{self.target.backend}/{self.model or self.target.model}"

    @property
    def seconds(self) -> float:
        """Seconds since the request started."""
        return time.monotonic() - self._started_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ModelError):
            self.outcome = error.reason
        elif isinstance(error, asyncio.CancelledError | GeneratorExit | DeadlineExpired):
            self.outcome = CANCELLED
        elif error is not None:
            self.outcome = INTERNAL
        if self.usage.provenance == USAGE_PROVENANCE_UNSPECIFIED and self._output.tokens:
            # It ended before the backend reported usage, and is billed all the same.
            self.usage = estimate_usage(self.request, self._output.tokens)
        self._failed_usage += self._hidden_usage
        if self._failed_usage:
            self.usage = sum_usage(
                [*self._failed_usage, self.usage] if self.usage.provenance else self._failed_usage
            )
        self._on_done(self)

    def _record(self, error: ModelError) -> None:
        error.set_target(self.target_name)
        self._errors.append(error)
        self._failed_usage += self._hidden_usage
        self._hidden_usage.clear()
        log.warning(
            "attempt_failed",
            target=self.target_name,
            attempt=self.attempt,
            reason=error.reason,
            detail=error.detail,
        )

    def _final_error(self) -> ModelError:
        chosen = next((each for each in self._errors if each.transient), self._errors[-1])
        others = [f"{each.target} {each.reason}" for each in self._errors if each is not chosen]
        if others:
            chosen.other_attempts = f" Also tried: {', '.join(others)}."
        return chosen
