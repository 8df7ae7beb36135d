"""For how long the event loop has been late: while thousands of calls arrive it is busy with them alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 0.02
"""Seconds between two looks."""


class LoopLateness:
    """Sums up by how much its timer is late, while somebody needs to know.

    Args:
        needed: whether somebody does.
    """

    def __init__(self, needed: Callable[[], bool]) -> None:
        self._needed = needed
        self._sum = 0.0
        self._due = 0.0
        """When the timer should run; 0: there is none."""

    @property
    def seconds(self) -> float:
        """The sum. Differences of it are of use, where it was watched meanwhile."""
        return self._sum + (max(0.0, time.monotonic() - self._due) if self._due else 0.0)

    def watch(self) -> None:
        """Begins, where it has not."""
        if not self._due:
            self._look_again()

    def _look(self) -> None:
        self._sum = self.seconds
        self._due = 0.0
        if self._needed():
            self._look_again()

    def _look_again(self) -> None:
        self._due = time.monotonic() + INTERVAL
        asyncio.get_running_loop().call_later(INTERVAL, self._look)
