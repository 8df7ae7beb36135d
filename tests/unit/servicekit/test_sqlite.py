"""SQLite for stores: what a failed operation costs others, and what an operator reads."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
from contextlib import closing

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script

from tests.support.conditions import until


class Unavailable(Exception):
    """What the owner of the file raises."""


class Refused(Exception):
    """What an operation raises before it writes."""


def file_at(path, **others):
    return SqliteFile(
        path,
        title="store of coins",
        setting="coins_dir",
        migrate=lambda db: execute_script(db, "CREATE TABLE IF NOT EXISTS coins (value INTEGER UNIQUE);"),
        unavailable=Unavailable,
        **others,
    )


@pytest.fixture
def file(tmp_path):
    return file_at(tmp_path / "deep" / "coins.sqlite")


@pytest.fixture
async def executor(file):
    executor = SqliteExecutor(file, refusals=(Refused,))
    await executor.open()
    yield executor
    await executor.close()


def insert(value):
    return lambda db: db.execute("INSERT INTO coins VALUES (?)", (value,))


def values(db):
    return [value for (value,) in db.execute("SELECT value FROM coins ORDER BY value")]


async def test_the_file_its_log_and_its_index_are_private(file):
    """Also those that an earlier version created for all to read."""
    file.path.parent.mkdir(mode=0o755)
    previous = os.umask(0)
    executor = SqliteExecutor(file)
    try:
        with closing(sqlite3.connect(file.path)) as old:
            old.execute("PRAGMA journal_mode = WAL")
            old.execute("CREATE TABLE older (value INTEGER)")
            assert stat.S_IMODE(file.path.stat().st_mode) != 0o600
            await executor.open()
            await executor.run(insert(1))
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in file.path.parent.iterdir()}
        assert modes == dict.fromkeys(("coins.sqlite", "coins.sqlite-wal", "coins.sqlite-shm"), "0o600")
    finally:
        os.umask(previous)
        await executor.close()


async def test_an_operation_that_raises_is_rolled_back_and_the_others_of_its_batch_are_kept(executor):
    def broken(db):
        insert(99)(db)
        raise KeyError("lost")

    outcomes = await asyncio.gather(
        *(executor.run(insert(number)) for number in range(5)),
        executor.run(broken),
        executor.run(insert(3)),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes if isinstance(each, Exception)] == [KeyError, Unavailable]
    assert await executor.run(values) == [0, 1, 2, 3, 4]


async def test_a_refusal_costs_the_others_no_second_run(executor):
    runs = []

    def counted(db):
        runs.append(len(runs))

    def refuse(db):
        raise Refused

    results = await asyncio.gather(
        executor.run(counted), executor.run(refuse), executor.run(counted), return_exceptions=True
    )
    assert [type(each) for each in results] == [type(None), Refused, type(None)]
    assert runs == [0, 1]


CANARY = "canary" * 50


def words(number):
    """Inserts several pages of rows that contain the canary."""

    def operation(db):
        db.execute("CREATE TABLE IF NOT EXISTS words (number INTEGER, word TEXT)")
        db.executemany(
            "INSERT INTO words VALUES (?, ?)", [(number, CANARY * size) for size in (1, 5, 40)] * 9
        )

    return operation


def canaries(file):
    """How often the canary is in the file and its log."""
    return sum(path.read_bytes().count(b"canary") for path in file.path.parent.glob("coins*"))


async def gone(file):
    """Waits until it is."""
    await until(lambda: not canaries(file))


async def rewritten(file):
    """Waits until what was erased is rewritten."""
    await until(lambda: not file.erasure_mark.exists())


@pytest.fixture
async def erasing(tmp_path):
    file = file_at(tmp_path / "coins.sqlite", erases=True)
    executor = SqliteExecutor(file)
    await executor.open()
    yield file, executor
    await executor.close()


async def test_what_is_erased_is_gone_from_the_file_and_its_log(erasing):
    file, executor = erasing
    for number in range(20):
        await executor.run(words(number))
    assert canaries(file)
    # Elsewhere in the file rows are left.
    await executor.run(insert(1))
    await executor.erase(lambda db: db.execute("DELETE FROM words"))
    await gone(file)
    assert await executor.run(values) == [1]


def scatter(chance, names):
    """Inserts short rows that grow, so that SQLite splits and merges the pages that they share."""

    def operation(db):
        db.execute("CREATE TABLE people (number INTEGER PRIMARY KEY, name TEXT UNIQUE, about TEXT)")
        for number, name in enumerate(names, 1):
            db.execute("INSERT INTO people VALUES (?, ?, ?)", (number, name, "z" * chance.randint(1, 300)))
            grown = chance.randint(max(1, number - 50), number)
            about = "y" * chance.randint(1, 3000)
            db.execute("UPDATE people SET about = ? WHERE number = ?", (about, grown))

    return operation


async def test_copies_in_pages_that_other_rows_share_are_gone(erasing):
    file, executor = erasing
    chance = random.Random(1)
    names = [chance.randbytes(12).hex() for _ in range(3000)]
    await executor.run(scatter(chance, names))
    erased = chance.sample(names, 1500)
    await executor.erase(
        lambda db: db.executemany("DELETE FROM people WHERE name = ?", [(name,) for name in erased])
    )
    await rewritten(file)
    content = b"".join(path.read_bytes() for path in file.path.parent.glob("coins*"))
    assert [name for name in erased if name.encode() in content] == []
    assert all(name.encode() in content for name in {*names} - {*erased})


async def test_a_rewrite_that_a_dead_process_left_is_done_by_the_next(erasing):
    file, executor = erasing
    file.erasure_mark.touch()
    await executor.run(words(1))
    second = SqliteExecutor(file)
    await second.open()
    await rewritten(file)
    await second.close()
    assert await executor.run(lambda db: db.execute("SELECT count(*) FROM words").fetchone()) == (27,)


async def test_an_erasure_ends_once_an_older_reader_has_ended(erasing):
    file, executor = erasing
    await executor.run(words(1))
    with closing(sqlite3.connect(file.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM words").fetchone()
        await executor.erase(lambda db: db.execute("DELETE FROM words"))
        await asyncio.sleep(0.5)
        assert canaries(file)
        await executor.run(insert(1))  # meanwhile others write
        assert reader.execute("SELECT count(*) FROM words").fetchone() == (27,)
        reader.execute("COMMIT")
        await gone(file)


async def test_an_erasure_is_not_put_off_by_others_that_write_and_read(erasing):
    file, executor = erasing
    await executor.run(words(1))
    reader = SqliteExecutor(file, writes=False)
    await reader.open()

    async def keep_on(run, make):
        for number in range(100_000):
            await run(make(number))

    busy = [
        asyncio.create_task(keep_on(executor.run, insert)),
        asyncio.create_task(keep_on(reader.run, lambda _: values)),
    ]
    try:
        await executor.erase(lambda db: db.execute("DELETE FROM words"))
        await gone(file)
        assert not any(task.done() for task in busy)
    finally:
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await reader.close()


async def test_an_erasure_that_a_dead_process_left_is_ended_by_the_next(erasing):
    file, executor = erasing
    await executor.run(words(1))
    await executor.run(lambda db: db.execute("DELETE FROM words"))
    assert canaries(file)
    with closing(sqlite3.connect(file.path)) as other:  # without it, closing would empty the log
        other.execute("SELECT count(*) FROM words").fetchone()
        second = SqliteExecutor(file)
        await second.open()
        await gone(file)
        await second.close()


async def test_an_erasure_is_ended_when_the_executor_closes(erasing):
    file, executor = erasing
    await executor.run(words(1))
    with closing(sqlite3.connect(file.path)) as other:
        other.execute("SELECT count(*) FROM words").fetchone()
        await executor.erase(lambda db: db.execute("DELETE FROM words"))
        await executor.close()
        assert canaries(file) == 0


async def test_an_operation_goes_on_if_its_caller_is_cancelled(executor):
    executor.run(insert(1)).cancel()
    assert await executor.run(values) == [1]


async def test_what_waits_is_carried_out_before_the_file_is_closed(executor, file):
    waiting = [executor.run(insert(number)) for number in range(300)]
    await executor.close()
    assert all(each.done() for each in waiting)
    with closing(sqlite3.connect(file.path)) as db:
        assert values(db) == list(range(300))


async def test_a_closed_executor_says_so_and_can_be_opened_again(executor):
    await executor.close()
    await executor.close()
    with pytest.raises(Unavailable, match="The store of coins is closed"):
        executor.run(values)
    await executor.open()
    assert await executor.run(values) == []


async def test_a_reader_cannot_write(executor, file):
    reader = SqliteExecutor(file, writes=False)
    await reader.open()
    with pytest.raises(Unavailable, match="cannot be written"):
        await reader.run(insert(1))
    await reader.close()


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_the_owner_chooses_whether_commits_wait_for_the_disk(tmp_path, synchronous, level):
    executor = SqliteExecutor(file_at(tmp_path / "coins.sqlite", synchronous=synchronous))
    await executor.open()
    assert await executor.run(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (level,)
    await executor.close()


async def test_many_may_open_one_new_file_at_once(file):
    executors = [SqliteExecutor(file) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in executors))
    await asyncio.gather(*(each.run(insert(number)) for number, each in enumerate(executors)))
    assert await executors[0].run(values) == [0, 1, 2, 3]
    for each in executors:
        await each.close()


async def test_a_file_that_is_no_database_names_the_setting_to_change(file):
    file.path.parent.mkdir()
    file.path.write_text("not a database, though long enough to be read as one")
    with pytest.raises(StartupError, match=r"store of coins .* move it away, or set another coins_dir\."):
        await SqliteExecutor(file).open()
