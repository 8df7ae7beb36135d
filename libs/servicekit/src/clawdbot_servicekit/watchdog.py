"""A thread that notices what the event loop cannot: that it is blocked, or that the process does not end.

It needs the interpreter's lock. While C code holds that, faulthandler's thread writes the stacks in its
place, and after a signal the guard (guard.py) or the supervisor ends the process.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

import structlog

CHECK_INTERVAL: Final = 0.25
"""Seconds between two looks at the event loop and the clock."""
STALL_AFTER: Final = 2.0
"""Seconds without a sign of life after which the event loop counts as blocked."""
FROZEN_AFTER: Final = 4
"""Seconds without any Python thread running after which the stacks are written."""
REARM_INTERVAL: Final = 1.0
"""Seconds between two postponements of that."""
FORCE_AFTER: Final = 7.0
"""Seconds beyond settle and grace after which the process ends whatever runs; with the log, less than 10."""
EXIT_TIMEOUT: Final = 3.0
"""Seconds that threads may still take once everything has stopped."""
LOG_TIMEOUT: Final = 1.0
"""Seconds that a line may take, as the reader of the log may be stuck too."""
FORCED_EXIT_CODE: Final = 3
"""Exit code of a process that had to be ended while something was running."""
MAX_LISTED: Final = 30
"""Threads, tasks and frames of each that are logged."""


class Watchdog:
    """The thread of one process. Made inside the loop that it watches; it lasts until the process ends."""

    def __init__(self) -> None:
        """Starts to watch."""
        self.on_stall: Callable[[], None] = lambda: None
        """Called once for each time that the loop is blocked, on the watchdog's thread."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._exit_at = math.inf
        self._over = False
        atexit.register(self._end)
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def end_within(self, seconds: float) -> None:
        """Ends the process within so many seconds, for good. Safe in threads and signal handlers."""
        self._exit_at = min(self._exit_at, time.monotonic() + seconds)

    def _end(self) -> None:
        """The interpreter ends, and this thread with it: a machine that is slow at that has not frozen it."""
        self._over = True
        faulthandler.cancel_dump_traceback_later()

    def _beat(self) -> None:
        self._beaten_at = time.monotonic()
        self._loop.call_later(CHECK_INTERVAL, self._beat)

    def _watch(self) -> None:
        stalled: float | None = None
        rearm_at = 0.0
        while True:
            now = time.monotonic()
            if now >= self._exit_at:
                self._force_exit()
            if now >= rearm_at:
                faulthandler.dump_traceback_later(FROZEN_AFTER)
                rearm_at = now + REARM_INTERVAL
                if self._over:
                    faulthandler.cancel_dump_traceback_later()
            beaten_at = self._beaten_at
            if stalled is not None and beaten_at > stalled:
                _log("event_loop_unblocked", seconds=round(beaten_at - stalled, 3))
                stalled = None
            elif stalled is None and now - beaten_at > STALL_AFTER and not self._loop.is_closed():
                stalled = beaten_at
                self.on_stall()
                _log("event_loop_blocked", stack=_stack(_frames().get(self._loop_thread)))
            time.sleep(CHECK_INTERVAL)

    def _force_exit(self) -> None:
        _log("exit_forced", exit_code=FORCED_EXIT_CODE, threads=_threads(), tasks=_tasks(self._loop))
        os._exit(FORCED_EXIT_CODE)


def _log(event: str, **fields: Any) -> None:
    """Writes an error, or gives up: the thread that writes it may have to wait for a stuck reader."""
    log = structlog.get_logger(__name__)
    writing = threading.Thread(target=log.error, args=(event,), kwargs=fields, name=event, daemon=True)
    writing.start()
    writing.join(LOG_TIMEOUT)


def _threads() -> dict[str, list[str]]:
    """Name → stack of every other thread."""
    names = {each.ident: each.name for each in threading.enumerate()}
    frames = [(key, frame) for key, frame in _frames().items() if key != threading.get_ident()]
    return {f"{names.get(key, '?')} ({key})": _stack(frame) for key, frame in frames[:MAX_LISTED]}


def _frames() -> dict[int, FrameType]:
    """Where each thread is."""
    return sys._current_frames()  # noqa: SLF001 - the documented way


def _stack(frame: FrameType | None) -> list[str]:
    """The innermost frames, the current one last."""
    return [_line(each, number) for each, number in list(traceback.walk_stack(frame))[MAX_LISTED::-1]]


def _tasks(loop: asyncio.AbstractEventLoop) -> dict[str, list[str]]:
    """Name → where it waits, of the tasks that have not ended."""
    tasks = list(asyncio.all_tasks(loop))[:MAX_LISTED]
    return {each.get_name(): [_line(*frame) for frame in _waits(each.get_coro())] for each in tasks}


def _waits(awaited: Any) -> Iterator[tuple[FrameType, int]]:
    """The frames of a coroutine and of what it awaits."""
    while awaited is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(awaited, f"{kind}_frame")), "")
        frame = getattr(awaited, f"{kind}_frame", None)
        if frame is not None:
            yield frame, frame.f_lineno
        awaited = getattr(awaited, {"gi": "gi_yieldfrom"}.get(kind, f"{kind}_await"), None)


def _line(frame: FrameType, number: int) -> str:
    return f"{frame.f_code.co_filename}:{number} in {frame.f_code.co_name}"
