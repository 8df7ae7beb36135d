"""How many requests a backend takes at a time, found out from how it answers.

Additive increase, multiplicative decrease, as TCP does: one more per round of successful requests while the
limit is what holds requests back; much fewer when the backend says that it is overloaded; fewer when its
first content takes longer than it used to.
"""

from __future__ import annotations

from typing import Final

DECREASE: Final = 0.7
"""Factor for an answer of "rate limited" or "overloaded"."""
SLOW_DECREASE: Final = 0.9
"""Factor for slow first content, which is a weaker sign: prompts differ."""
FAST: Final = 0.1
"""Weight of a new time in the current average: it covers about the last ten."""
SLOW: Final = 0.005
"""The same for the usual average: about the last two hundred."""
MIN_TIMES: Final = 20
"""Times that are necessary to compare the averages."""
TOLERANCE: Final = 2.0
"""How many times longer than usual the first content takes before it counts as slow."""


class AdaptiveLimit:
    """A concurrency between two bounds; it begins at the lower one."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self._limit = float(low)
        self._starting = True
        """Until the first decrease, each success adds one: the limit doubles with each round."""
        self._decreased_at = float("-inf")
        self._times = 0
        self._usual = self._current = 0.0

    @property
    def value(self) -> int:
        """The present limit."""
        return int(self._limit)

    def succeeded(self, began_at: float, now: float, first_content: float | None, *, full: bool) -> None:
        """A request was answered.

        Args:
            began_at: when it got its slot.
            now: the time.
            first_content: seconds until its first content; None where it has no such time.
            full: whether all slots were in use when it ended.
        """
        if first_content is not None and self._is_slow(first_content):
            self._decrease(SLOW_DECREASE, began_at, now)
        elif full:
            self._limit = min(self._high, self._limit + (1 if self._starting else 1 / self._limit))

    def overloaded(self, began_at: float, now: float) -> None:
        """A request was refused because there were too many."""
        self._decrease(DECREASE, began_at, now)

    def _decrease(self, factor: float, began_at: float, now: float) -> None:
        """Once per round: those that were sent before the last decrease say nothing about the new limit."""
        if began_at >= self._decreased_at:
            self._limit = max(self._low, self._limit * factor)
            self._decreased_at = now
            self._starting = False

    def _is_slow(self, seconds: float) -> bool:
        self._times += 1
        if self._times == 1:
            self._usual = self._current = seconds
        # Of few times all have the same weight.
        self._current += max(FAST, 1 / self._times) * (seconds - self._current)
        self._usual += max(SLOW, 1 / self._times) * (seconds - self._usual)
        return self._times >= MIN_TIMES and self._current > TOLERANCE * self._usual
