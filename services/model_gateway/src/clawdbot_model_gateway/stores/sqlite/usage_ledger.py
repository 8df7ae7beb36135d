"""The ledger of usage in a SQLite file: it outlives restarts, and all workers of a machine share it.

What the running calls of a process have used is kept by process. Those that were killed are found by their
locks (servicekit.process_locks) whenever usage is read. Reading waits for nobody who writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clawdbot_servicekit.process_locks import ProcessLocks
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script
from typing_extensions import override

from clawdbot_model_gateway.core.limits.usage_ledger import (
    COUNTS,
    Counts,
    UsageKey,
    UsageLedger,
    UsageQuery,
    UsageUnavailable,
)

KEY_COLUMNS: Final = ", ".join(f"{name} TEXT NOT NULL" for name in UsageKey._fields)
COUNT_COLUMNS: Final = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)
KEY: Final = ", ".join(UsageKey._fields)
PLACES: Final = ", ".join("?" * (len(UsageKey._fields) + len(COUNTS)))
SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS usage ({KEY_COLUMNS}, {COUNT_COLUMNS}, PRIMARY KEY ({KEY})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS running (
    owner TEXT NOT NULL, {KEY_COLUMNS}, {COUNT_COLUMNS}, PRIMARY KEY (owner, {KEY})
) WITHOUT ROWID;
"""
ADD_UP: Final = (
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in COUNTS)}"
)
ADD: Final = f"INSERT INTO usage VALUES ({PLACES}) {ADD_UP}"  # noqa: S608 - names of columns, all of them ours
RUNS: Final = f"INSERT INTO running VALUES (?, {PLACES})"  # noqa: S608 - as above
OWNERS: Final = "SELECT DISTINCT owner FROM running"
COUNT_OWNER: Final = f"""
INSERT INTO usage SELECT {KEY}, {", ".join(COUNTS)} FROM running WHERE owner = ? {ADD_UP}
"""  # noqa: S608 - as above
USED: Final = (
    f"SELECT {KEY}, {', '.join(COUNTS)} FROM usage UNION ALL SELECT {KEY}, {', '.join(COUNTS)} FROM running"  # noqa: S608 - as above
)
REMOVE_OWNER: Final = "DELETE FROM running WHERE owner = ?"
FORGET: Final = "DELETE FROM usage WHERE day < ?"


class SqliteUsageLedger(UsageLedger):
    """One for each process, all on one file."""

    def __init__(self, folder: Path) -> None:
        file = SqliteFile(
            folder / "usage.sqlite",
            title="ledger of usage",
            setting="state_dir",
            migrate=lambda connection: execute_script(connection, SCHEMA),
            synchronous="NORMAL",
            unavailable=UsageUnavailable,
        )
        self._writer, self._reader = SqliteExecutor(file), SqliteExecutor(file, writes=False)
        self._owners = ProcessLocks(folder / "usage")
        self._adding: tuple[str, asyncio.Future[None] | None] = "", None
        """The last batch, and its transaction."""

    @override
    async def start(self) -> None:
        self._owners.open()
        await self._writer.open()
        await self._reader.open()

    @override
    async def stop(self) -> None:
        await self._reader.close()
        await self._writer.close()
        self._owners.close()

    @override
    async def add(
        self,
        batch: str,
        usage: Mapping[UsageKey, Counts],
        running: Mapping[UsageKey, Counts] | None = None,
    ) -> None:
        """A transaction that fails changes nothing; one whose caller was cancelled is carried out."""
        name, adding = self._adding
        if name != batch or adding is None or (adding.done() and adding.exception() is not None):
            me = self._owners.me
            rows = [(*key, *counts) for key, counts in usage.items()]
            runs = None if running is None else [(me, *key, *counts) for key, counts in running.items()]

            def work(connection: sqlite3.Connection) -> None:
                connection.executemany(ADD, rows)
                if runs is not None:
                    connection.execute(REMOVE_OWNER, (me,))
                    connection.executemany(RUNS, runs)

            adding = self._writer.run(work)
            self._adding = batch, adding
        await asyncio.shield(adding)

    @override
    async def totals(self, query: UsageQuery) -> Mapping[UsageKey, Counts]:
        columns = [name if name in query.group_by else f"'' AS {name}" for name in UsageKey._fields]
        sums = [f"sum({name})" for name in COUNTS]
        where, values = "day BETWEEN ? AND ?", [query.first_day, query.last_day]
        for name in ("tenant", "key_id", "model"):
            if wanted := getattr(query, name):
                where += f" AND {name} = ?"
                values.append(wanted)
        # Positions, as an alias has the name of its column.
        places = ", ".join(str(place + 1) for place in range(len(columns)))

        def work(connection: sqlite3.Connection) -> dict[UsageKey, Counts]:
            killed = self._killed(connection)
            counted = f"{USED} WHERE owner IN ({', '.join('?' * len(killed))})"
            statement = (
                f"SELECT {', '.join([*columns, *sums])} FROM ({counted}) WHERE {where} GROUP BY {places}"  # noqa: S608 - names of columns, all of them ours
            )
            size = len(UsageKey._fields)
            found = connection.execute(statement, [*killed, *values]).fetchall()
            return {UsageKey(*row[:size]): row[size:] for row in found}

        return await self._reader.run(work)

    @override
    async def forget(self, before: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for owner in self._killed(connection):
                connection.execute(COUNT_OWNER, (owner,))
                connection.execute(REMOVE_OWNER, (owner,))
            connection.execute(FORGET, (before,))

        await self._writer.run(work)

    def _killed(self, connection: sqlite3.Connection) -> list[str]:
        """The processes that were killed while calls ran in them."""
        return [owner for (owner,) in connection.execute(OWNERS) if self._owners.gone(owner)]
