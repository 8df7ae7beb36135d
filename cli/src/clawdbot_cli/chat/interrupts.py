"""Ctrl-C as something that can be awaited: it ends a turn while one runs, and the program otherwise.

asyncio's own way, cancelling the main task, would end the program in the middle of a reply.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupts:
    """Receives SIGINT and SIGTERM for the task that made it."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._orders: list[Callable[[], object]] = []

    @contextmanager
    def received(self) -> Iterator[None]:
        """Handles the signals inside the block: they cancel the task, unless `caught` says otherwise."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self._end)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    @contextmanager
    def caught(self, *orders: Callable[[], object]) -> Iterator[None]:
        """Inside the block the first Ctrl-C calls the first order and so on; further ones call the last."""
        self._orders = list(orders)
        try:
            yield
        finally:
            self._orders = []

    def forgive(self) -> None:
        """Says that the cancellation has been seen to: the task goes on."""
        if self._task is not None:
            self._task.uncancel()

    def _interrupted(self) -> None:
        if not self._orders:
            self._end()
            return
        self._orders[0]()
        if len(self._orders) > 1:
            del self._orders[0]

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
