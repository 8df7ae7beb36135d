"""The file of the SQLite store: versions, locks, damage, sharing, size."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED
from clawdbot_dialogue.core.errors import SessionQuarantined, StoreUnavailable
from clawdbot_dialogue.core.sessions.records import SessionFilter
from clawdbot_dialogue.stores.sqlite.schema import session_file
from clawdbot_dialogue.stores.sqlite.session_store import SqliteSessionStore
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.sqlite import connection, executor

from tests.support.dialogue_records import LEASE_REQUEST, TENANT, commit, new_session, new_turn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "sessions.db"


@pytest.fixture
async def store(path):
    store = SqliteSessionStore(path, clock=lambda: 100.0)
    await store.open()
    yield store
    await store.close()


def edit(path, statement, *values):
    """Changes the file as another program would."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


async def test_what_was_committed_is_there_after_reopening(path):
    first = SqliteSessionStore(path, clock=lambda: 100.0)
    await first.open()
    session = (await first.create_session(new_session(), LEASE_REQUEST)).session
    task = (await first.accept_turn(new_turn(session), LEASE_REQUEST, 100.0)).task
    await first.commit(commit(task))
    await first.close()
    await first.close()
    second = SqliteSessionStore(path, clock=lambda: 100.0)
    await second.open()
    assert (await second.get_session(TENANT, session.id)).revision == 1
    await second.close()


async def test_a_closed_store_says_so(path):
    closed = SqliteSessionStore(path, clock=lambda: 100.0)
    with pytest.raises(StoreUnavailable):
        await closed.check()
    await closed.open()
    await closed.check()
    await closed.close()
    with pytest.raises(StoreUnavailable):
        await closed.create_session(new_session(), LEASE_REQUEST)


async def test_commits_are_synced_to_the_disk(store, path):
    with closing(session_file(path).connect()) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"no database " * 100), "is not a SQLite database"),
        (lambda path: edit(path, "CREATE TABLE theirs (x)"), "belongs to another program"),
        (lambda path: path.mkdir(), "cannot be opened"),
    ],
)
async def test_a_file_of_another_program_stops_the_start_with_a_sentence(path, spoil, sentence):
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(StartupError, match=sentence) as caught:
        await SqliteSessionStore(path, clock=lambda: 100.0).open()
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")


async def test_a_folder_that_cannot_be_created_stops_the_start_with_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="state_dir"):
        await SqliteSessionStore(tmp_path / "file" / "sessions.db", clock=lambda: 100.0).open()


async def test_a_file_of_a_newer_version_stops_the_start(store, path):
    edit(path, "PRAGMA user_version = 99")
    with pytest.raises(StartupError, match="newer Clawdbot"):
        await SqliteSessionStore(path, clock=lambda: 100.0).open()


async def test_a_locked_file_stops_the_start_with_a_sentence(path, monkeypatch):
    monkeypatch.setattr(connection, "START_TIMEOUT", 0.05)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StartupError, match="is locked"):
            await SqliteSessionStore(path, clock=lambda: 100.0).open()


async def test_a_file_that_stays_locked_is_unavailable_and_then_works_again(store, path, monkeypatch):
    monkeypatch.setattr(executor, "WRITE_TIMEOUT", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.create_session(new_session(), LEASE_REQUEST)
        assert (await store.list_sessions(TENANT, SessionFilter(), 10, None)).items == ()
    await store.create_session(new_session(), LEASE_REQUEST)


async def test_a_write_that_fails_does_not_fail_others_of_its_batch(store):
    """Twenty sessions in one transaction, two of them with the same id: nineteen are stored."""
    session_id = new_session().session.id
    made = [new_session() for _ in range(18)]
    made += [new_session(session_id=session_id), new_session(session_id=session_id)]
    results = await asyncio.gather(
        *(store.create_session(new, LEASE_REQUEST) for new in made), return_exceptions=True
    )
    assert [type(each) for each in results if isinstance(each, Exception)] == [StoreUnavailable]
    assert len((await store.list_sessions(TENANT, SessionFilter(), 50, None)).items) == 19


async def test_two_stores_on_one_file_give_one_total_order(path):
    """As two worker processes do: numbers without gaps, one lease."""
    stores = [SqliteSessionStore(path, clock=lambda: 100.0) for _ in range(2)]
    await asyncio.gather(*(store.open() for store in stores))
    session = (await stores[0].create_session(new_session(), LEASE_REQUEST)).session
    accepted = await asyncio.gather(
        *(stores[n % 2].accept_turn(new_turn(session, f"turn {n}"), LEASE_REQUEST, 100.0) for n in range(40))
    )
    assert sorted(each.number for each in accepted) == list(range(1, 41))
    assert len([each for each in accepted if each.task]) == 1
    for store in stores:
        await store.close()


@pytest.mark.parametrize("column", ["view", "snapshot"])
async def test_an_unreadable_session_is_quarantined_and_others_go_on(store, path, column):
    bad = (await store.create_session(new_session(user="bad"), LEASE_REQUEST)).session
    good = (await store.create_session(new_session(), LEASE_REQUEST)).session
    edit(path, f"UPDATE sessions SET {column} = ? WHERE id = ?", b"\xff\xff\xff", bad.id)
    with pytest.raises(SessionQuarantined):
        await store.accept_turn(new_turn(bad), LEASE_REQUEST, 100.0)
    shown = await store.get_session(TENANT, bad.id)
    assert (shown.id, shown.user, shown.status) == (bad.id, "bad", SESSION_STATUS_QUARANTINED)
    assert (await store.accept_turn(new_turn(good), LEASE_REQUEST, 100.0)).task is not None
    assert len((await store.list_sessions(TENANT, SessionFilter(), 10, None)).items) == 2
    turns = (await store.list_turns(TENANT, bad.id, 10, None)).items
    assert [turn.error.reason for turn in turns] == ["SESSION_QUARANTINED"]
    assert [each.session_id for each in await store.pending_sessions()] == [good.id]


async def test_a_turn_that_cannot_be_read_does_not_hide_others(store, path):
    session = (await store.create_session(new_session(), LEASE_REQUEST)).session
    task = (await store.accept_turn(new_turn(session), LEASE_REQUEST, 100.0)).task
    ending = commit(task)
    await store.commit(ending)
    await store.accept_turn(new_turn(session), LEASE_REQUEST, 100.0)
    edit(path, "UPDATE turns SET turn = x'ffffff' WHERE key & 0xfffffff = 1")
    turns = (await store.list_turns(TENANT, session.id, 10, None)).items
    assert [(turn.number, turn.error.reason) for turn in turns] == [(1, "TURN_UNREADABLE"), (2, "")]


async def test_a_turn_costs_the_same_bytes_late_as_early(store, path):
    """The transcript is appended to, never rewritten."""
    session = (await store.create_session(new_session(), LEASE_REQUEST)).session
    with closing(session_file(path).connect()) as db:

        def pages():
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return path.stat().st_size

        sizes = []
        for number in range(400):
            if number % 200 == 0:
                sizes.append(pages())
            task = (await store.accept_turn(new_turn(session, "hello " * 20), LEASE_REQUEST, 100.0)).task
            ending = commit(task)
            await store.commit(ending)
            session = ending.result.session
        sizes.append(pages())
    assert sizes[2] - sizes[1] <= (sizes[1] - sizes[0]) * 1.2
