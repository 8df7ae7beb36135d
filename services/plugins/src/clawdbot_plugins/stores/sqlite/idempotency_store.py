"""The ledger in a SQLite file: once-only holds across workers, restarts and loss of power."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from clawdbot_plugin_sdk import Attachment
from clawdbot_servicekit.process_locks import ProcessLocks

from clawdbot_plugins.core.idempotency_store import CallId, Claim, LedgerUnavailable
from clawdbot_plugins.core.single_flight import Outcome
from clawdbot_plugins.stores.sqlite.database import Database, Work

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (
    tenant TEXT NOT NULL,
    tool TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires REAL NOT NULL,
    owner TEXT,
    outcome TEXT,
    PRIMARY KEY (tenant, tool, request_id)
);
CREATE INDEX IF NOT EXISTS calls_by_expiry ON calls (expires);
"""
"""owner: who is running it, NULL when nobody is. outcome: JSON, NULL until it is settled.
A call with neither was broken off."""

FORGET_EVERY: Final = 64
"""Claims between two rounds of forgetting."""

RUNS_AT_MOST: Final = 86_400.0
"""Seconds. A call that somebody claims to be running is kept so much longer than others: no tool takes a
day, and forgetting one that still runs would let it run twice."""

FIND: Final = """
SELECT digest, owner, outcome FROM calls
WHERE tenant = ? AND tool = ? AND request_id = ? AND (expires > ? OR owner IS NOT NULL)
"""
CLAIM: Final = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, NULL)"
SETTLE: Final = "UPDATE calls SET owner = NULL, outcome = ? WHERE tenant = ? AND tool = ? AND request_id = ?"
RELEASE: Final = "DELETE FROM calls WHERE tenant = ? AND tool = ? AND request_id = ?"
ABANDON: Final = "UPDATE calls SET owner = NULL WHERE tenant = ? AND tool = ? AND request_id = ?"
FORGET: Final = "DELETE FROM calls WHERE expires <= ? AND (owner IS NULL OR expires <= ?)"
FORGET_OLDEST: Final = """
DELETE FROM calls
WHERE owner IS NULL AND rowid IN (SELECT rowid FROM calls ORDER BY expires DESC LIMIT -1 OFFSET ?)
"""

T = TypeVar("T")


class SqliteLedger:
    """As the port says. One for each process, on one file. Bounded: the oldest calls are forgotten first."""

    def __init__(self, folder: Path, *, remember: float, capacity: int, clock: Callable[[], float]) -> None:
        """A ledger that is not open yet.

        Args:
            folder: shared by the workers of one machine, and by nobody else.
            remember: seconds for which a call is remembered.
            capacity: calls at most.
            clock: seconds since 1970.
        """
        self._folder = folder
        self._remember = remember
        self._capacity = capacity
        self._clock = clock
        self._claims = 0
        self._database: Database | None = None
        self._owners = ProcessLocks(folder / "owners")

    async def open(self) -> None:
        """As the port says."""
        self._owners.open()
        self._database = await Database.open(self._folder / "calls.sqlite", SCHEMA)

    async def claim(self, call: CallId, digest: bytes, *, again: bool) -> Claim | Outcome:
        """As the port says."""
        self._claims += 1
        if self._claims % FORGET_EVERY == 1:
            await self._run(self._forget)
        return await self._run(lambda connection: self._claim(connection, call, digest, again=again))

    async def settle(self, call: CallId, outcome: Outcome) -> None:
        """As the port says."""
        attached = [
            (b64encode(each.data).decode(), each.media_type, each.title) for each in outcome.attachments
        ]
        written = json.dumps([outcome.text, outcome.structured, outcome.is_error, attached])
        await self._execute(SETTLE, written, *_key(call))

    async def release(self, call: CallId) -> None:
        """As the port says."""
        await self._execute(RELEASE, *_key(call))

    async def abandon(self, call: CallId) -> None:
        """As the port says."""
        await self._execute(ABANDON, *_key(call))

    async def check(self) -> None:
        """As the port says."""
        await self._execute("SELECT 1")

    async def close(self) -> None:
        """As the port says."""
        if self._database is not None:
            await self._database.close()
        self._owners.close()

    async def _execute(self, statement: str, *values: Any) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        await self._run(work)

    async def _run(self, work: Work[T]) -> T:
        if self._database is None:
            raise LedgerUnavailable("it is not open")
        try:
            return await self._database.run(work)
        except sqlite3.Error as error:
            raise LedgerUnavailable(str(error)) from error

    def _claim(
        self, connection: sqlite3.Connection, call: CallId, digest: bytes, *, again: bool
    ) -> Claim | Outcome:
        now = self._clock()
        row = connection.execute(FIND, (*_key(call), now)).fetchone()
        found = None if row is None else self._found(row, digest)
        if found is not None and not (found is Claim.BROKEN_OFF and again):
            return found
        connection.execute(CLAIM, (*_key(call), digest, now + self._remember, self._owners.me))
        return Claim.GRANTED

    def _found(self, row: tuple[bytes, str | None, str | None], digest: bytes) -> Claim | Outcome:
        known, owner, outcome = row
        if known != digest:
            return Claim.OTHER_ARGUMENTS
        if outcome is not None:
            # Calls settled by an older version have nothing attached.
            text, structured, is_error, *rest = json.loads(outcome)
            attached = tuple(Attachment(b64decode(data), *more) for data, *more in (rest[0] if rest else ()))
            return Outcome(text, structured, is_error=is_error, replayed=True, attachments=attached)
        # Whoever asks has made sure that this process is not running the call, whatever the row says.
        if owner is not None and owner != self._owners.me and not self._owners.gone(owner):
            return Claim.ELSEWHERE
        return Claim.BROKEN_OFF

    def _forget(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        connection.execute(FORGET, (now, now - RUNS_AT_MOST))
        connection.execute(FORGET_OLDEST, (self._capacity,))


def _key(call: CallId) -> tuple[str, str, str]:
    return call.tenant, call.tool, call.request_id
