"""The threads that talk to SQLite, so that the event loop never waits for a disk: one writes, one reads.

The writer puts everything that waits into one transaction, and so pays for one disk sync however many turns
are running. It answers only after that sync.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import structlog

from clawdbot_dialogue.core.errors import DialogueError, StoreUnavailable
from clawdbot_dialogue.stores.sqlite.schema import begin, connect, describe_error, is_busy

_log = structlog.get_logger(__name__)
T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]
"""Uses the connection. MUST raise its DialogueError before it writes. May be run a second time."""

MAX_BATCH: Final = 256
"""Operations in one transaction: bounds how many are repeated because another one failed."""

WRITE_TIMEOUT: Final = 10.0
"""Seconds that a write waits for other processes before it fails."""


class _Job:
    """One operation and the future of its outcome."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation, future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        self.error = None
        try:
            self.result = self.operation(connection)
        except DialogueError as error:
            self.error = error

    def resolve(self) -> None:
        if self.future.done():  # the caller was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteThread:
    """A thread with its own connection."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path = path
        self._writes = writes
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._connection = connect(path, read_only=not writes)
        self._thread = threading.Thread(
            target=self._work, name=f"sqlite-{'writer' if writes else 'reader'}", daemon=True
        )
        self._thread.start()

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queues the operation; awaiting it raises the operation's DialogueError, or StoreUnavailable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(operation, future))
        return future

    async def close(self) -> None:
        """Ends the thread after what is queued."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _work(self) -> None:
        while True:
            jobs = self._next()
            if not jobs:
                return
            if self._writes:
                self._write(jobs)
            else:
                self._read(jobs)
            try:
                self._loop.call_soon_threadsafe(_resolve, jobs)
            except RuntimeError:  # the loop is closed: nobody awaits the results
                return

    def _next(self) -> list[_Job]:
        """Waits for a job and returns all that are queued, up to MAX_BATCH; empty at the end."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == MAX_BATCH:
                return jobs
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs

    def _read(self, jobs: list[_Job]) -> None:
        for job in jobs:
            try:
                job.run(self._connection)
            except Exception as error:  # noqa: BLE001 - raised in the caller; the thread must go on
                job.error = self._translated(error)

    def _write(self, jobs: list[_Job]) -> None:
        try:
            self._transact(jobs)
        except Exception as error:  # noqa: BLE001 - raised in the caller; the thread must go on
            self._roll_back()
            if len(jobs) == 1 or is_busy(error):
                for job in jobs:
                    job.error = self._translated(error)
            else:
                # One of them fails; the others must not fail with it.
                for job in jobs:
                    self._write([job])

    def _transact(self, jobs: list[_Job]) -> None:
        begin(self._connection, WRITE_TIMEOUT)
        for job in jobs:
            job.run(self._connection)
        self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            # Closing the connection discards what could not be rolled back.
            _log.warning("store_reconnects", reason=str(error))
            self._connection.close()
            self._connection = connect(self._path)

    def _translated(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        unavailable = StoreUnavailable(describe_error(self._path, error))
        unavailable.__cause__ = error
        return unavailable


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()
