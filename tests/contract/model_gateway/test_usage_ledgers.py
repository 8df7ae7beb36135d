"""Every ledger of usage keeps the contract; each has facts of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest
import redis
from clawdbot_model_gateway.core.limits.usage_ledger import UsageUnavailable
from clawdbot_model_gateway.stores.redis.usage_ledger import PREFIX, RedisUsageLedger
from clawdbot_model_gateway.stores.sqlite.usage_ledger import SqliteUsageLedger
from clawdbot_servicekit.errors import StartupError

from tests.contract.model_gateway.usage_ledger_contract import (
    ANN,
    BOB,
    ONE,
    UsageLedgerContract,
    counts,
    totals,
)
from tests.support.redis_server import garbage_server, redis_server


@asynccontextmanager
async def started(ledger):
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()
        await ledger.stop()


class TestSqliteUsageLedger(UsageLedgerContract):
    @pytest.fixture
    async def ledger(self, tmp_path):
        async with started(SqliteUsageLedger(tmp_path / "gateway")) as ledger:
            yield ledger

    @pytest.fixture
    async def other(self, ledger, tmp_path):
        async with started(SqliteUsageLedger(tmp_path / "gateway")) as other:
            yield other

    @pytest.fixture
    def kill(self):
        def end(ledger) -> None:
            # The system has released its lock.
            os.close(ledger._owners._descriptor)
            ledger._owners._descriptor = None

        return end

    async def test_it_outlives_the_process(self, ledger, tmp_path):
        await ledger.add("1", {ANN: ONE})
        await ledger.stop()
        async with started(SqliteUsageLedger(tmp_path / "gateway")) as later:
            assert await totals(later) == {ANN: ONE}

    async def test_it_is_read_while_another_program_writes(self, ledger, tmp_path):
        await ledger.add("1", {ANN: ONE}, {BOB: ONE})
        with closing(sqlite3.connect(tmp_path / "gateway" / "usage.sqlite", isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            async with asyncio.timeout(5):
                assert await totals(ledger) == {ANN: ONE}

    async def test_an_unusable_folder_stops_the_start_with_a_clear_message(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StartupError, match="state_dir"):
            await SqliteUsageLedger(tmp_path / "file" / "gateway").start()


class TestRedisUsageLedger(UsageLedgerContract):
    @pytest.fixture
    def server(self, tmp_path):
        with redis_server(tmp_path) as server:
            yield server

    @pytest.fixture
    async def ledger(self, server):
        async with started(RedisUsageLedger(server.url)) as ledger:
            yield ledger

    @pytest.fixture
    async def other(self, server, ledger):
        async with started(RedisUsageLedger(server.url)) as other:
            yield other

    @pytest.fixture
    def kill(self, server):
        def end(ledger) -> None:
            # It renews its lease no more.
            with redis.Redis.from_url(server.url) as client:
                client.delete(f"{PREFIX}owner:{ledger._me}")

        return end

    async def test_a_process_that_was_cut_off_and_comes_back_counts_once(self, ledger, other, kill):
        await ledger.add("1", {}, {ANN: ONE, BOB: ONE})
        kill(ledger)
        assert await totals(other) == {ANN: ONE, BOB: ONE}
        await ledger.add("2", {ANN: counts(1, 0, 7)}, {BOB: ONE})
        assert await totals(other) == {ANN: counts(1, 0, 7), BOB: counts()}
        kill(ledger)
        assert await totals(other) == {ANN: counts(1, 0, 7), BOB: ONE}


@pytest.mark.parametrize(
    "answer", [b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"*1\r\n:1\r\n", b"*x\r\n", b"\xff\r\n"]
)
async def test_what_answers_and_is_no_redis_is_an_error(answer):
    async with garbage_server(answer) as url, started(RedisUsageLedger(url)) as ledger:
        for _ in range(2):
            with pytest.raises(UsageUnavailable):
                await ledger.add("1", {ANN: ONE}, {})
            with pytest.raises(UsageUnavailable):
                await totals(ledger)


async def test_a_redis_that_dies_loses_no_batch(tmp_path):
    with redis_server(tmp_path) as server:
        async with started(RedisUsageLedger(server.url)) as ledger:
            server.kill()
            with pytest.raises(UsageUnavailable):
                await ledger.add("1", {ANN: ONE})
            with pytest.raises(UsageUnavailable):
                await totals(ledger)
            server.start()
            await ledger.add("1", {ANN: ONE})
            assert await totals(ledger) == {ANN: ONE}
