"""Runs the SessionStore contract on each store."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore
from clawdbot_dialogue.stores.sqlite.session_store import SqliteSessionStore

from tests.contract.stores.session_store_contract import SessionStoreContract


class TestInMemorySessionStore(SessionStoreContract):
    @pytest.fixture
    async def store(self):
        return InMemorySessionStore()


class TestSqliteSessionStore(SessionStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        store = SqliteSessionStore(tmp_path / "sessions.db", clock=lambda: 100.0)
        await store.open()
        yield store
        await store.close()
