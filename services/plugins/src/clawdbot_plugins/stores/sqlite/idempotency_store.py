"""The idempotency store in a SQLite file: once-only holds across workers, restarts and power loss."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from clawdbot_plugin_sdk import Attachment
from clawdbot_servicekit.process_locks import ProcessLocks
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script
from typing_extensions import override

from clawdbot_plugins.core.idempotency_store import (
    CallId,
    ClaimResult,
    IdempotencyStore,
    IdempotencyStoreUnavailable,
)
from clawdbot_plugins.core.single_flight import ToolOutcome

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
"""owner: the process that runs the call; NULL if none does. outcome: JSON; NULL until the call is complete.
A call with neither was interrupted."""

CLAIMS_PER_CLEANUP: Final = 64
"""Claims between two deletions of expired calls."""

MAX_RUN_SECONDS: Final = 86_400.0
"""A call that has an owner is kept this much longer than others: no tool runs for a day, and deleting a call
that is still running would let it run twice."""

SELECT: Final = """
SELECT digest, owner, outcome FROM calls
WHERE tenant = ? AND tool = ? AND request_id = ? AND (expires > ? OR owner IS NOT NULL)
"""
CLAIM: Final = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, NULL)"
COMPLETE: Final = (
    "UPDATE calls SET owner = NULL, outcome = ? WHERE tenant = ? AND tool = ? AND request_id = ?"
)
RELEASE: Final = "DELETE FROM calls WHERE tenant = ? AND tool = ? AND request_id = ?"
MARK_INTERRUPTED: Final = "UPDATE calls SET owner = NULL WHERE tenant = ? AND tool = ? AND request_id = ?"
DELETE_EXPIRED: Final = "DELETE FROM calls WHERE expires <= ? AND (owner IS NULL OR expires <= ?)"
DELETE_OLDEST: Final = """
DELETE FROM calls
WHERE owner IS NULL AND rowid IN (SELECT rowid FROM calls ORDER BY expires DESC LIMIT -1 OFFSET ?)
"""


class SqliteIdempotencyStore(IdempotencyStore):
    """One for each process, all on one file. Bounded: the oldest calls are deleted first."""

    def __init__(self, folder: Path, *, retention: float, capacity: int, clock: Callable[[], float]) -> None:
        """A store that is not open yet.

        Args:
            folder: shared by the workers of one machine only.
            retention: seconds for which a call is remembered.
            capacity: maximum number of calls.
            clock: seconds since 1970.
        """
        self._retention = retention
        self._capacity = capacity
        self._clock = clock
        self._claims = 0
        self._executor = SqliteExecutor(
            SqliteFile(
                folder / "calls.sqlite",
                title="store of once-only calls",
                setting="state_dir",
                migrate=lambda connection: execute_script(connection, SCHEMA),
                unavailable=IdempotencyStoreUnavailable,
            )
        )
        self._owners = ProcessLocks(folder / "owners")

    @override
    async def open(self) -> None:
        self._owners.open()
        await self._executor.open()

    @override
    def claim(
        self, call: CallId, digest: bytes, *, allow_rerun: bool
    ) -> Awaitable[ClaimResult | ToolOutcome]:
        return self._executor.run(
            lambda connection: self._claim(connection, call, digest, allow_rerun=allow_rerun)
        )

    @override
    def complete(self, call: CallId, outcome: ToolOutcome) -> Awaitable[None]:
        attachments = [
            (b64encode(each.data).decode(), each.media_type, each.title) for each in outcome.attachments
        ]
        serialized = json.dumps([outcome.text, outcome.structured, outcome.is_error, attachments])
        return self._execute(COMPLETE, serialized, *_key(call))

    @override
    def release(self, call: CallId) -> Awaitable[None]:
        return self._execute(RELEASE, *_key(call))

    @override
    def mark_interrupted(self, call: CallId) -> Awaitable[None]:
        return self._execute(MARK_INTERRUPTED, *_key(call))

    @override
    async def check(self) -> None:
        await self._executor.check()

    @override
    async def close(self) -> None:
        await self._executor.close()
        self._owners.close()

    def _execute(self, statement: str, *values: Any) -> Awaitable[None]:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        return self._executor.run(work)

    def _claim(
        self, connection: sqlite3.Connection, call: CallId, digest: bytes, *, allow_rerun: bool
    ) -> ClaimResult | ToolOutcome:
        now = self._clock()
        self._claims += 1
        if self._claims % CLAIMS_PER_CLEANUP == 1:
            self._clean_up(connection, now)
        row = connection.execute(SELECT, (*_key(call), now)).fetchone()
        existing = None if row is None else self._existing(row, digest)
        if existing is not None and not (existing is ClaimResult.INTERRUPTED and allow_rerun):
            return existing
        connection.execute(CLAIM, (*_key(call), digest, now + self._retention, self._owners.me))
        return ClaimResult.GRANTED

    def _existing(
        self, row: tuple[bytes, str | None, str | None], digest: bytes
    ) -> ClaimResult | ToolOutcome:
        stored_digest, owner, outcome = row
        if stored_digest != digest:
            return ClaimResult.ARGUMENTS_MISMATCH
        if outcome is not None:
            # Outcomes stored by an older version have no attachments.
            text, structured, is_error, *rest = json.loads(outcome)
            attachments = tuple(
                Attachment(b64decode(data), *more) for data, *more in (rest[0] if rest else ())
            )
            return ToolOutcome(text, structured, is_error=is_error, replayed=True, attachments=attachments)
        # The caller guarantees that this process is not running the call, even if the row names it as owner.
        if owner is not None and owner != self._owners.me and not self._owners.gone(owner):
            return ClaimResult.RUNNING_ELSEWHERE
        return ClaimResult.INTERRUPTED

    def _clean_up(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute(DELETE_EXPIRED, (now, now - MAX_RUN_SECONDS))
        connection.execute(DELETE_OLDEST, (self._capacity,))


def _key(call: CallId) -> tuple[str, str, str]:
    return call.tenant, call.tool, call.request_id
