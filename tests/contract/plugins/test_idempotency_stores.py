"""Every idempotency store keeps the contract."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from clawdbot_plugins.core.idempotency_store import ClaimResult, IdempotencyStoreUnavailable
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryIdempotencyStore
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteIdempotencyStore
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.sqlite import executor

from tests.contract.plugins.idempotency_store_contract import (
    CALL,
    OUTCOME,
    SAME,
    IdempotencyStoreContract,
    SharedIdempotencyStoreContract,
)
from tests.support.plugin_core import Clock


@pytest.fixture
def clock():
    return Clock()


class TestInMemoryIdempotencyStore(IdempotencyStoreContract):
    @pytest.fixture
    async def store(self, clock):
        store = InMemoryIdempotencyStore(retention=100, capacity=5, clock=clock)
        await store.open()
        return store


class TestSqliteIdempotencyStore(SharedIdempotencyStoreContract):
    @pytest.fixture
    def make(self, tmp_path, clock):
        return lambda: SqliteIdempotencyStore(tmp_path / "store", retention=100, capacity=5, clock=clock)

    @pytest.fixture
    async def store(self, make):
        store = make()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other(self, make, store):
        other = make()
        await other.open()
        yield other
        await other.close()

    async def test_an_outcome_outlives_the_process(self, store, make):
        await store.claim(CALL, SAME, allow_rerun=False)
        await store.complete(CALL, OUTCOME)
        await store.close()
        reopened = make()
        await reopened.open()
        assert (await reopened.claim(CALL, SAME, allow_rerun=False)).text == OUTCOME.text
        await reopened.close()

    async def test_before_it_is_open_it_is_unavailable(self, make):
        with pytest.raises(IdempotencyStoreUnavailable):
            await make().claim(CALL, SAME, allow_rerun=False)

    async def test_a_store_that_was_never_opened_can_be_closed(self, make):
        await make().close()

    async def test_a_folder_that_cannot_be_created_says_what_to_do(self, tmp_path, clock):
        (tmp_path / "file").write_text("in the way")
        store = SqliteIdempotencyStore(tmp_path / "file" / "store", retention=1, capacity=1, clock=clock)
        with pytest.raises(StartupError, match="set state_dir to another"):
            await store.open()
        await store.close()

    async def test_a_file_that_is_not_a_database_says_what_to_do(self, tmp_path, make):
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "calls.sqlite").write_text(
            "not a database, though long enough to be read as one"
        )
        store = make()
        with pytest.raises(StartupError, match=r"calls\.sqlite"):
            await store.open()
        await store.close()

    async def test_while_another_program_locks_the_file_it_is_unavailable(self, store, tmp_path, monkeypatch):
        monkeypatch.setattr(executor, "WRITE_TIMEOUT", 0.05)
        with closing(sqlite3.connect(tmp_path / "store" / "calls.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(IdempotencyStoreUnavailable, match="is locked by another program"):
                await store.claim(CALL, SAME, allow_rerun=False)
        assert await store.claim(CALL, SAME, allow_rerun=False) is ClaimResult.GRANTED
