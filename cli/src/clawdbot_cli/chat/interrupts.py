"""Handles Ctrl-C: it stops a turn while one runs, and ends the program otherwise.

asyncio's own handler, which cancels the main task, would end the program in the middle of a reply.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupts:
    """Handles SIGINT and SIGTERM for the task that created it."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._handlers: list[Callable[[], object]] = []

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Inside the block the signals cancel the task, unless `on_interrupt` sets other handlers."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._cancel)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    @contextmanager
    def on_interrupt(self, *handlers: Callable[[], object]) -> Iterator[None]:
        """Inside the block each Ctrl-C calls the next handler; the last handler is called again and again."""
        self._handlers = list(handlers)
        try:
            yield
        finally:
            self._handlers = []

    def clear_cancellation(self) -> None:
        """Withdraws the cancellation of the task, so that it can continue."""
        if self._task is not None:
            self._task.uncancel()

    def _interrupt(self) -> None:
        if not self._handlers:
            self._cancel()
            return
        self._handlers[0]()
        if len(self._handlers) > 1:
            del self._handlers[0]

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
