"""Stops asking a backend that keeps failing, and finds out with single requests when it works again.

    CLOSED      requests go to the backend; several failures in a row, or too large a share of them, open it
    OPEN        none does until the cool-down is over
    HALF_OPEN   one does, the probe: its success closes the breaker, its failure opens it for longer. While it
                is undecided, since replies may take minutes, another one follows after each cool-down

A request that has failed elsewhere does not wait for the cool-down: it would be lost anyway, so the backend
is its last resort. Such a request half-opens the breaker as well, and its failure only ends that.

What a request began in one state says nothing about another one. Each state therefore has a number, which a
request is given when it begins: its permit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_HALF_OPEN,
    BREAKER_STATE_OPEN,
    BreakerState,
)

from clawdbot_model_gateway.core.errors import (
    OURS,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnreachable,
    BreakerOpen,
    ModelError,
    ProtocolViolation,
)

log = structlog.get_logger(__name__)

FAILURES: Final = (
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnreachable,
    ProtocolViolation,
)
"""Errors that say that the backend does not work."""
SLICES: Final = 10
"""Parts of the window in which calls are counted together."""
GROWTH: Final = 2.0
"""Of the cool-down with each probe that fails."""
JITTER: Final = 0.25
"""Share by which a cool-down is longer at most, so that workers do not probe at the same time."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens, and for how long. Times are in seconds."""

    failures: int = 5
    """Failures in a row."""
    failure_share: float = 0.5
    """Share of failures among the calls of a window, from 0 to 1."""
    min_calls: int = 20
    """Calls in a window that are necessary to judge by the share."""
    window: float = 30.0
    cooldown: float = 2.0
    """Until the first probe."""
    max_cooldown: float = 60.0
    """Between later probes at most."""


class Call(Protocol):
    """A request in flight, as the breaker sees it."""

    @property
    def answered(self) -> bool:
        """Whether the backend has begun to reply, though the request has not ended."""


@dataclass(slots=True)
class _Slice:
    number: int
    calls: int = 0
    failures: int = 0


class CircuitBreaker:
    """The breaker of one backend. One event loop uses it.

    Args:
        backend: its name, for the log.
        limits: when it opens, and for how long.
        clock: the time in seconds.
        draw: uniform numbers in [0, 1), for the jitter.
    """

    def __init__(
        self, backend: str, limits: BreakerLimits, clock: Callable[[], float], draw: Callable[[], float]
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self._draw = draw
        self._state: BreakerState.ValueType = BREAKER_STATE_CLOSED
        self._permit = 0
        self._slice_seconds = limits.window / SLICES
        self._slices: deque[_Slice] = deque(maxlen=SLICES)
        self._failures_in_a_row = 0
        self._cooldown = limits.cooldown
        self._probe_at = 0.0
        """When the next request may go to the backend, unless the breaker is closed."""
        self._probes: list[Call] = []
        self._last_resort = False
        """Whether it is half-open for requests that have nowhere else to go."""
        self._followed_from = 0.0
        """From when on others follow a last resort: not at once after one that failed."""
        self._cause = ""
        """The reason of the failure that opened it."""

    @property
    def state(self) -> BreakerState.ValueType:
        """CLOSED, OPEN or HALF_OPEN."""
        self._heed_probe()
        return self._state

    @property
    def available(self) -> bool:
        """Whether a request that comes now may go to the backend."""
        if self._state == BREAKER_STATE_CLOSED:
            return True
        self._heed_probe()
        return self._state == BREAKER_STATE_CLOSED or self._clock() >= self._probe_at

    @property
    def retry_after(self) -> float:
        """Seconds until a request may go to the backend; 0 where one may now."""
        return 0.0 if self.available else self._probe_at - self._clock()

    def enter(self, call: Call, *, last_resort: bool = False) -> int:
        """Lets a request go to the backend. Its permit has to be given back with `leave`.

        While a last resort is undecided others follow it, since the target where it failed may just have
        been found not to work.

        Args:
            call: the request.
            last_resort: whether it has failed elsewhere, so that it goes in any case.

        Raises:
            BreakerOpen: it may not.
        """
        if self._state != BREAKER_STATE_CLOSED:
            now, may_probe = self._clock(), self.available
            follows = self._last_resort and now >= self._followed_from
            if not (may_probe or last_resort or follows):
                raise BreakerOpen(
                    f"not asked, since it kept failing ({self._cause})", retry_after=self.retry_after
                )
            if self._state == BREAKER_STATE_OPEN:
                self._change(BREAKER_STATE_HALF_OPEN)
            if self._state == BREAKER_STATE_HALF_OPEN:
                self._probes.append(call)
                self._last_resort = self._last_resort or last_resort
                if may_probe:
                    self._probe_at = now + self._cooldown
                log.info("breaker_probes", backend=self._backend, last_resort=not may_probe)
        return self._permit

    def renew(self, permit: int, call: Call, *, last_resort: bool = False) -> int:
        """The permit of a request that had to wait; raises as `enter` does where the state has changed."""
        return permit if permit == self._permit else self.enter(call, last_resort=last_resort)

    def leave(self, permit: int, error: BaseException | None) -> None:
        """A request has ended.

        Args:
            permit: as `enter` or `renew` gave it.
            error: how it failed. What is not the backend's word, such as a caller that left, is not counted.
        """
        if permit != self._permit:
            return
        if error is None:
            self._succeeded()
        elif isinstance(error, FAILURES):
            self._failed(error)
        elif isinstance(error, ModelError) and not isinstance(error, OURS):
            self._succeeded()
        elif self._state == BREAKER_STATE_HALF_OPEN:
            # A probe was broken off: the next request is one.
            if not self._last_resort:
                self._probe_at = self._clock()
            self._change(BREAKER_STATE_OPEN)

    def _heed_probe(self) -> None:
        """A reply may take long: its beginning already shows that the backend works."""
        if any(each.answered for each in self._probes):
            self._close()

    def _succeeded(self) -> None:
        if self._state == BREAKER_STATE_HALF_OPEN:
            self._close()
        self._failures_in_a_row = 0
        self._current_slice().calls += 1

    def _failed(self, error: ModelError) -> None:
        if self._last_resort:
            # The cool-down goes on as it was.
            self._change(BREAKER_STATE_OPEN)
            self._followed_from = self._clock() + self._limits.cooldown
            return
        if self._state == BREAKER_STATE_HALF_OPEN:
            self._cooldown = min(self._limits.max_cooldown, self._cooldown * GROWTH)
            self._open(error)
            return
        self._failures_in_a_row += 1
        current = self._current_slice()
        current.calls += 1
        current.failures += 1
        if self._failures_in_a_row >= self._limits.failures or self._share_is_reached():
            self._open(error)

    def _share_is_reached(self) -> bool:
        oldest = self._slices[-1].number - SLICES
        recent = [each for each in self._slices if each.number > oldest]
        calls = sum(each.calls for each in recent)
        failures = sum(each.failures for each in recent)
        return calls >= self._limits.min_calls and failures >= calls * self._limits.failure_share

    def _current_slice(self) -> _Slice:
        number = int(self._clock() / self._slice_seconds)
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        return self._slices[-1]

    def _open(self, error: ModelError) -> None:
        self._change(BREAKER_STATE_OPEN)
        self._cause = error.reason
        seconds = max(self._cooldown, error.stated_wait or 0.0)
        seconds = min(seconds, self._limits.max_cooldown)
        seconds *= 1 + JITTER * self._draw()
        self._probe_at = self._clock() + seconds
        log.warning("breaker_opened", backend=self._backend, cooldown=round(seconds, 3), **error.log_fields)

    def _close(self) -> None:
        self._change(BREAKER_STATE_CLOSED)
        self._failures_in_a_row = 0
        self._slices.clear()
        self._cooldown = self._limits.cooldown
        log.info("breaker_closed", backend=self._backend)

    def _change(self, state: BreakerState.ValueType) -> None:
        self._state = state
        self._permit += 1
        self._last_resort = False
        self._probes.clear()
