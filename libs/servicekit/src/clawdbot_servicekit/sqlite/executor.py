"""The thread that talks to a SQLite file, so that the event loop never waits for a disk.

A writer puts everything that waits into one transaction, and so pays for one disk sync however many calls are
running. It answers only after that sync. The thread is woken once for all that the event loop has for it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import structlog

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_private
from clawdbot_servicekit.sqlite.connection import SqliteFile, begin, is_busy

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
"""Uses the connection. May be run a second time, after its first run was rolled back."""

MAX_BATCH: Final = 256
"""Operations that are enough for one transaction: so many are repeated because another one failed."""

WRITE_TIMEOUT: Final = 10.0
"""Seconds that a write waits for other processes before it fails."""

RECENT: Final = 1.0
"""Seconds for which a write that worked proves that the next one will: a check does not write to a busy file,
and to an idle one no more often than this."""

ERASE_INTERVAL: Final = 0.2
"""Seconds from an erasure until its traces are removed (many share that), and between attempts at it."""
MAX_REWRITE_BYTES: Final = 64 * 1024**2
"""Size of a file that is rewritten after an erasure, which blocks writers for 10 to 20 ms per MB. When SQLite
splits a page, it leaves copies of short rows in the unused space, and only VACUUM removes those."""
REWRITE_PAUSE: Final = 5.0
"""Until the next rewrite, as a multiple of how long the last one took."""
REWRITE_BUSY_MS: Final = 1000
"""Milliseconds that a rewrite waits for another process that writes."""
ERASE_ERROR_INTERVAL: Final = 5.0
"""Seconds until the next attempt if something else than a reader is in the way, such as a full disk."""

NOT_OPEN: Final = (0, 0)
"""The identity of no file."""


class _Job:
    """One operation and the future of its outcome."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation[Any], future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():  # the caller was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteExecutor:
    """A thread with its own connection. Open and close it in the event loop that uses it."""

    def __init__(
        self, file: SqliteFile, *, writes: bool = True, refusals: tuple[type[Exception], ...] = ()
    ) -> None:
        """An executor that is not open yet.

        Args:
            file: what it works on.
            writes: False: operations only read, and run outside of transactions.
            refusals: exceptions that an operation raises before it has written anything. They cost the other
                operations of the transaction nothing; after any other exception it is rolled back.
        """
        self._file = file
        self._writes = writes
        self._refusals = refusals
        self._jobs: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self._new_jobs: list[_Job] = []
        """Of this iteration of the event loop; the thread gets them at its end."""
        self._loop: asyncio.AbstractEventLoop
        self._connection: sqlite3.Connection
        self._identity = NOT_OPEN
        """Of the file that the connection has open."""
        self._thread: threading.Thread | None = None
        self._last_write = float("-inf")
        """When a transaction that wrote something was last committed; -inf if one has failed since."""
        self._checking: asyncio.Future[Any] | None = None
        self._erase_time: float | None = None
        """When the writer is to remove traces of what was erased, by the monotonic clock; None if there are
        none."""
        self._must_rewrite = False
        """Whether traces may be in the file itself, not only in its log."""
        self._earliest_rewrite = 0.0

    async def open(self) -> None:
        """Opens the file, and starts the thread. A writer creates or migrates the file first.

        Raises:
            StartupError: the file cannot be used; says why.
        """
        self._loop = asyncio.get_running_loop()
        if self._writes:
            await asyncio.to_thread(self._file.prepare)
        await asyncio.to_thread(self._connect)
        if self._writes and self._file.erases:
            # An earlier process may have died between an erasure and this.
            self._erase_time = time.monotonic()
            self._must_rewrite = self._file.erasure_mark.exists()
        name = f"{self._file.path.stem}-{'writer' if self._writes else 'reader'}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queues the operation, which is carried out even if the caller is cancelled.

        Awaiting it raises what the operation raised, or what `unavailable` of the file makes of
        sqlite3.Error. A writer commits the operation with others; one that raises changes nothing.
        """
        if self._thread is None:
            raise self._file.unavailable(f"The {self._file.title} is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._new_jobs:
            self._loop.call_soon(self._hand_over)
        self._new_jobs.append(_Job(operation, future))
        return future

    def _hand_over(self) -> None:
        if self._new_jobs:
            self._jobs.put(self._new_jobs)
            self._new_jobs = []

    def erase(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Like `run`, for a writer of a file that erases.

        What the operation deletes is soon gone from the log, too, as soon as no reader needs it any longer.
        Copies in pages that other rows share are gone as well, if the file is at most MAX_REWRITE_BYTES long.
        """

        def erasing(connection: sqlite3.Connection) -> T:
            create_private(self._file.erasure_mark)
            result = operation(connection)
            self._must_rewrite = True
            if self._erase_time is None:
                self._erase_time = max(time.monotonic() + ERASE_INTERVAL, self._earliest_rewrite)
            return result

        return self.run(erasing)

    async def check(self) -> None:
        """Returns if operations work now; raises as `run` does. A writer writes, unless it just has.

        Cancelled, it leaves its operation in the queue, and the next check waits for the same one.
        """
        if self._thread is not None and self._writes and time.monotonic() - self._last_write < RECENT:
            return
        if self._checking is None or self._checking.done():
            self._checking = self.run(self._file.try_write if self._writes else _try_read)
        await asyncio.shield(self._checking)
        self._last_write = time.monotonic()

    async def close(self) -> None:
        """Ends the thread after what is queued, and closes the file. Safe to call twice, or before `open`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._hand_over()
            self._jobs.put(None)
            await asyncio.to_thread(self._end, thread)

    def _connect(self) -> None:
        self._connection = self._file.connect(read_only=not self._writes)
        self._identity = self._file.identity()

    def _follow_file(self) -> None:
        """Opens the file anew if another one was put in its place, such as a backup, or it is not open.

        Raises:
            sqlite3.Error: there is no file, or none that can be opened.
        """
        if self._file.identity() == self._identity:
            return
        structlog.get_logger(__name__).warning("store_opened_again", path=str(self._file.path))
        if self._writes:
            try:
                self._file.prepare()
            except StartupError as error:
                raise self._file.unavailable(str(error)) from error
        self._connection.close()
        self._connect()

    def _end(self, thread: threading.Thread) -> None:
        thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            jobs = self._next()
            if not jobs:
                if self._erase_time is not None:
                    self._remove_traces()
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
        """Waits for jobs and returns all that are queued, at least MAX_BATCH of many; empty at the end."""
        jobs: list[_Job] = []
        more = self._wait()
        while more is not None:
            jobs += more
            if len(jobs) >= MAX_BATCH:
                return jobs
            try:
                more = self._jobs.get_nowait()
            except Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs

    def _wait(self) -> list[_Job] | None:
        """Waits for jobs, and meanwhile removes traces of what was erased if that is due."""
        while self._erase_time is not None:
            seconds = self._erase_time - time.monotonic()
            if seconds <= 0:
                self._remove_traces()
                continue
            try:
                return self._jobs.get(timeout=seconds)
            except Empty:
                continue
        return self._jobs.get()

    def _remove_traces(self) -> None:
        """Of what was erased, in the file and its log; tried again later while a reader needs the log."""
        interval = ERASE_INTERVAL
        try:
            if self._must_rewrite:
                self._rewrite()
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            busy = True
            if not is_busy(error):
                structlog.get_logger(__name__).warning("erasure_delayed", reason=str(error))
                interval = ERASE_ERROR_INTERVAL
        if busy:
            self._erase_time = time.monotonic() + interval
        else:
            self._erase_time = None
            self._file.erasure_mark.unlink(missing_ok=True)

    def _rewrite(self) -> None:
        started = time.monotonic()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = self._connection.execute("PRAGMA page_size").fetchone()
        if pages * page_size > MAX_REWRITE_BYTES:
            structlog.get_logger(__name__).info("erasure_needs_vacuum", file=str(self._file.path))
        else:
            try:
                self._connection.execute(f"PRAGMA busy_timeout = {REWRITE_BUSY_MS}")
                self._connection.execute("VACUUM")
            finally:
                self._connection.execute("PRAGMA busy_timeout = 0")
        self._must_rewrite = False
        self._earliest_rewrite = time.monotonic() + REWRITE_PAUSE * (time.monotonic() - started)

    def _read(self, jobs: list[_Job]) -> None:
        for job in jobs:
            try:
                self._follow_file()
                self._run(job)
            except Exception as error:  # noqa: BLE001 - raised in the caller; the thread must go on
                job.error = self._translated(error)

    def _write(self, jobs: list[_Job]) -> None:
        try:
            self._transact(jobs)
        except Exception as error:  # noqa: BLE001 - raised in the caller; the thread must go on
            self._last_write = float("-inf")
            self._roll_back()
            if len(jobs) == 1 or is_busy(error):
                for job in jobs:
                    job.error = self._translated(error)
            else:
                # One of them fails; the others must not fail with it.
                for job in jobs:
                    self._write([job])

    def _transact(self, jobs: list[_Job]) -> None:
        self._follow_file()
        begin(self._connection, WRITE_TIMEOUT)
        changes = self._connection.total_changes
        for job in jobs:
            self._run(job)
        self._connection.execute("COMMIT")
        if self._connection.total_changes != changes:
            self._last_write = time.monotonic()

    def _run(self, job: _Job) -> None:
        job.error = None
        try:
            job.result = job.operation(self._connection)
        except self._refusals as error:
            job.error = error

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            # Closing it discards what could not be rolled back; the next transaction opens another one.
            structlog.get_logger(__name__).warning("store_reconnects", reason=str(error))
            self._connection.close()
            self._identity = NOT_OPEN

    def _translated(self, error: Exception) -> Exception:
        return self._file.unavailable_because(error) if isinstance(error, sqlite3.Error) else error


def _try_read(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()
