"""Every store of limits keeps the contract; each has facts of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from clawdbot_model_gateway.core.limits.limit_store import LimitStoreUnavailable, Reservation
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_model_gateway.stores.sqlite.limit_store import SqliteLimitStore, SqliteSavedCounters
from clawdbot_servicekit.errors import StartupError

from tests.contract.model_gateway.limit_store_contract import (
    LimitStoreContract,
    charge,
    concurrent,
    reserve,
    room,
)


@asynccontextmanager
async def started(store):
    await store.start()
    try:
        yield store
    finally:
        await store.stop()
        await store.stop()


@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def run(runner):
    """Runs a coroutine in the loop of `stores`."""
    return runner.run


class TestInMemoryLimitStore(LimitStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with started(InMemoryLimitStore(SqliteSavedCounters(tmp_path / "gateway"))) as store:
            yield store

    @pytest.fixture
    async def other(self, store):
        return store

    @pytest.fixture
    def stores(self):
        return [InMemoryLimitStore()]

    async def test_what_was_used_outlives_a_restart_and_what_was_reserved_does_not(self, store, tmp_path):
        store.settle(await reserve(store, charge(5)), [3])
        await store.maintain()
        store.settle(await reserve(store, charge(5)), [1])
        await reserve(store, charge(2))
        await reserve(store, concurrent())
        await store.stop()
        async with started(InMemoryLimitStore(SqliteSavedCounters(tmp_path / "gateway"))) as later:
            assert await room(later) == 6
            assert await room(later, "concurrent", 1) == 1

    async def test_more_workers_go_on_with_what_one_has_counted(self, store, tmp_path):
        store.settle(await reserve(store, charge(5)), [3])
        await store.stop()
        async with started(SqliteLimitStore(tmp_path / "gateway")) as later:
            assert await room(later) == 7

    async def test_nothing_of_a_bucket_that_has_ended_stays(self):
        store = InMemoryLimitStore(clock=lambda: 1000.0)
        store.settle(await reserve(store, charge(ends=999.0)), [1])
        kept = await reserve(store, charge(bucket="running", ends=999.0))
        await store.maintain()
        assert set(store._buckets) == {"running"}
        store.settle(kept, [1])


class TestSqliteLimitStore(LimitStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with started(SqliteLimitStore(tmp_path / "gateway")) as store:
            yield store

    @pytest.fixture
    async def other(self, store, tmp_path):
        async with started(SqliteLimitStore(tmp_path / "gateway")) as other:
            yield other

    @pytest.fixture
    def stores(self, runner, tmp_path):
        opened = [SqliteLimitStore(tmp_path / "property") for _ in range(2)]
        stack = AsyncExitStack()

        async def open_all():
            for each in opened:
                await stack.enter_async_context(started(each))

        runner.run(open_all())
        yield opened
        runner.run(stack.aclose())

    async def test_what_was_used_outlives_a_restart(self, store, tmp_path):
        store.settle(await reserve(store, charge(5)), [3])
        await store.stop()
        async with started(SqliteLimitStore(tmp_path / "gateway")) as later:
            assert await room(later) == 7

    async def test_two_processes_together_get_as_many_as_are_allowed(self, store, tmp_path):
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CHILD,
                str(tmp_path / "gateway"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(2)
        ]
        try:
            for each in children:
                assert await each.stdout.readline() == b"open\n"
            for each in children:
                each.stdin.write(b"go\n")
            got = [int(await each.stdout.readline()) for each in children]
            assert sum(got) == 10
            assert await room(store) == 0
        finally:
            for each in children:
                each.send_signal(signal.SIGKILL)
                await each.communicate()
        # The reservations of the killed processes are free.
        async with asyncio.timeout(20):
            while await room(store) < 10:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)

    async def test_an_unusable_folder_stops_the_start_with_a_clear_message(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StartupError, match="state_dir"):
            await SqliteLimitStore(tmp_path / "file" / "gateway").start()

    async def test_a_file_that_is_gone_is_an_error_of_the_store(self, store, tmp_path):
        assert isinstance(await reserve(store, charge()), Reservation)
        for path in (tmp_path / "gateway").glob("limits.sqlite*"):
            path.unlink()
        (tmp_path / "gateway" / "limits.sqlite").write_text("no database at all, and long enough to see" * 99)
        with pytest.raises(LimitStoreUnavailable):
            await reserve(store, charge())


CHILD = """
import asyncio, sys
from pathlib import Path
from clawdbot_model_gateway.core.limits.limit_store import Reservation
from clawdbot_model_gateway.stores.sqlite.limit_store import SqliteLimitStore
from tests.contract.model_gateway.limit_store_contract import charge, reserve

async def main():
    store = SqliteLimitStore(Path(sys.argv[1]))
    await store.start()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    verdicts = await asyncio.gather(*[reserve(store, charge()) for _ in range(100)])
    print(sum(isinstance(each, Reservation) for each in verdicts), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
