"""The ledger of usage in a SQLite file: it outlives restarts, and all workers of a machine share it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

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

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS usage (
    {", ".join(f"{name} TEXT NOT NULL" for name in UsageKey._fields)},
    {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)},
    PRIMARY KEY ({", ".join(UsageKey._fields)})
) WITHOUT ROWID;
"""
ADD: Final = f"""
INSERT INTO usage VALUES ({", ".join("?" * (len(UsageKey._fields) + len(COUNTS)))})
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)}
"""  # noqa: S608 - names of columns, all of them ours
FORGET: Final = "DELETE FROM usage WHERE day < ?"


class SqliteUsageLedger(UsageLedger):
    """One for each process, all on one file."""

    def __init__(self, folder: Path) -> None:
        self._executor = SqliteExecutor(
            SqliteFile(
                folder / "usage.sqlite",
                title="ledger of usage",
                setting="state_dir",
                migrate=lambda connection: execute_script(connection, SCHEMA),
                synchronous="NORMAL",
                unavailable=UsageUnavailable,
            )
        )
        self._adding: tuple[str, asyncio.Future[None] | None] = "", None
        """The last batch, and its transaction."""

    @override
    async def start(self) -> None:
        await self._executor.open()

    @override
    async def stop(self) -> None:
        await self._executor.close()

    @override
    async def add(self, batch: str, usage: Mapping[UsageKey, Counts]) -> None:
        """A transaction that fails changes nothing; one whose caller was cancelled is carried out."""
        name, adding = self._adding
        if name != batch or adding is None or (adding.done() and adding.exception() is not None):
            rows = [(*key, *counts) for key, counts in usage.items()]
            adding = self._executor.run(lambda connection: _execute_many(connection, ADD, rows))
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
        statement = f"SELECT {', '.join([*columns, *sums])} FROM usage WHERE {where} GROUP BY {places}"  # noqa: S608 - names of columns, all of them ours

        def work(connection: sqlite3.Connection) -> dict[UsageKey, Counts]:
            size = len(UsageKey._fields)
            return {
                UsageKey(*row[:size]): row[size:] for row in connection.execute(statement, values).fetchall()
            }

        return await self._executor.run(work)

    @override
    async def forget(self, before: str) -> None:
        await self._executor.run(lambda connection: _execute_many(connection, FORGET, [(before,)]))


def _execute_many(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    connection.executemany(statement, rows)
