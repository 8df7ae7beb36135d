"""Every store of limits keeps the contract; each has facts of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import redis
from clawdbot_model_gateway.core.limits.limit_store import LimitStoreUnavailable, Reservation
from clawdbot_model_gateway.stores.in_memory.limit_store import InMemoryLimitStore
from clawdbot_model_gateway.stores.redis import limit_store as redis_limit_store
from clawdbot_model_gateway.stores.redis.limit_store import RedisLimitStore
from clawdbot_model_gateway.stores.sqlite.limit_store import SqliteLimitStore, SqliteSavedCounters
from clawdbot_servicekit.errors import StartupError
from structlog.testing import capture_logs

from tests.contract.model_gateway.limit_store_contract import (
    LimitStoreContract,
    charge,
    concurrent,
    reserve,
    room,
)
from tests.support.conditions import until
from tests.support.redis_server import garbage_server, redis_server, silent_server


def killed(owners) -> None:
    """As if the process of this owner had been killed: the system has released its lock."""
    os.close(owners._descriptor)
    owners._descriptor = None


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

    async def test_what_was_reserved_counts_as_used_after_a_kill(self, store, tmp_path):
        await reserve(store, charge(4), concurrent(2))
        ended = await reserve(store, charge(3))
        await store.maintain()
        store.settle(ended, [1])
        await store.maintain()
        killed(store._saved._owners)
        async with started(InMemoryLimitStore(SqliteSavedCounters(tmp_path / "gateway"))) as later:
            assert await room(later) == 5
            assert isinstance(await reserve(later, concurrent()), Reservation)

    async def test_what_another_process_has_reserved_that_lives_is_its_own(self, store, tmp_path):
        await reserve(store, charge(4))
        await store.maintain()
        async with started(InMemoryLimitStore(SqliteSavedCounters(tmp_path / "gateway"))) as later:
            assert await room(later) == 10

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
        # What the killed processes had reserved counts as used.
        await until(lambda: is_used(store, 10))
        assert await room(store) == 0

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


class TestRedisLimitStore(LimitStoreContract):
    @pytest.fixture
    def server(self, tmp_path):
        with redis_server(tmp_path) as server:
            yield server

    @pytest.fixture(autouse=True)
    def patient(self, monkeypatch):
        """A busy machine takes longer than a dead server is waited for."""
        monkeypatch.setattr(redis_limit_store, "SOCKET_TIMEOUT", 10.0)

    @pytest.fixture
    async def store(self, server):
        async with started(RedisLimitStore(server.url)) as store:
            yield store

    @pytest.fixture
    async def other(self, server, store):
        async with started(RedisLimitStore(server.url)) as other:
            yield other

    @pytest.fixture
    def stores(self, runner, server):
        stack = AsyncExitStack()

        async def open_all():
            return [await stack.enter_async_context(started(RedisLimitStore(server.url))) for _ in range(2)]

        yield runner.run(open_all())
        runner.run(stack.aclose())

    async def test_what_was_used_outlives_a_restart_and_what_was_reserved_does_not(self, store, server):
        store.settle(await reserve(store, charge(5)), [3])
        await reserve(store, charge(4))
        await store.stop()
        async with started(RedisLimitStore(server.url)) as later:
            assert await room(later) == 7

    async def test_the_reservations_of_a_process_that_was_killed_count_as_used(
        self, store, other, monkeypatch
    ):
        monkeypatch.setattr(redis_limit_store, "LEASE", 0.3)
        await reserve(store, charge(4), concurrent())
        assert await room(other) == 6
        # As if it was killed: it renews its lease no more.
        store._task.cancel()
        await until(lambda: is_used(other, 4))
        assert await room(other) == 6
        assert isinstance(await reserve(other, concurrent()), Reservation)

    async def test_a_process_that_lives_keeps_its_reservations(self, store, other, monkeypatch):
        monkeypatch.setattr(redis_limit_store, "LEASE", 2.0)
        await reserve(store, charge(4))
        for _ in range(12):
            await store.maintain()
            await asyncio.sleep(0.25)
            assert await room(other) == 6

    async def test_nothing_stays_for_ever(self, store, server):
        store.settle(await reserve(store, charge(), concurrent()), [1, 0])
        await reserve(store, charge(bucket="b"), concurrent(bucket="c"))
        with redis.Redis.from_url(server.url) as client:
            names = client.keys("*")
            assert len(names) >= 4
            assert all(client.pttl(name) > 0 for name in names)

    async def test_settlements_count_once_although_answers_are_lost(self, store, server, monkeypatch):
        monkeypatch.setattr(redis_limit_store, "LEASE", 1.0)
        reservation = await reserve(store, charge(5))
        store.settle(reservation, [3])
        script = store._script

        async def answer_is_lost(**arguments):
            await script(**arguments)
            raise redis.ConnectionError

        store._script = answer_is_lost
        with pytest.raises(LimitStoreUnavailable):
            await reserve(store, charge(2))
        with pytest.raises(LimitStoreUnavailable):
            await reserve(store, charge(2))
        store._script = script
        await working(store)
        # Three are used. Nobody knows of the two that were reserved, until their owner is given up.
        async with started(RedisLimitStore(server.url)) as later:
            await until(lambda: room_is(later, 7), 40.0)


async def is_used(store, amount: int) -> bool:
    """Whether so much counts as used, and nothing as reserved."""
    full = await reserve(store, charge(11))
    return (full.total, full.used) == (amount, amount)


async def working(store) -> None:
    """Waits until a store that failed has found its server again."""

    async def answers():
        try:
            await store.maintain()
        except LimitStoreUnavailable:
            return False
        return True

    await until(answers)


async def room_is(store, expected: int) -> bool:
    return await room(store) == expected


async def test_a_redis_that_dies_is_an_error_at_once_and_comes_back(tmp_path):
    with redis_server(tmp_path) as server:
        async with started(RedisLimitStore(server.url)) as store:
            reservation = await reserve(store, charge(5))
            server.kill()
            for _ in range(20):
                with pytest.raises(LimitStoreUnavailable):
                    await reserve(store, charge(1))
            assert not store.answers
            store.settle(reservation, [4])
            server.start()
            await working(store)
            assert store.answers
            assert await room(store) == 6, "what was settled meanwhile counts"


@pytest.mark.parametrize(
    "answer",
    [
        *(b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"*0\r\n", b"*1\r\n*0\r\n", b"*1\r\n*1\r\n:1\r\n", b"*x\r\n"),
        *(b"*1\r\n*4\r\n:0\r\n:7\r\n:1\r\n:1\r\n", b"*1\r\n*3\r\n:1\r\n+x\r\n:1\r\n"),
        *(b"-NOAUTH no\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\x00\r\n"),
    ],
)
async def test_what_answers_and_is_no_redis_is_an_error_each_time(answer):
    async with garbage_server(answer) as url, started(RedisLimitStore(url)) as store:
        for _ in range(3):
            with pytest.raises(LimitStoreUnavailable):
                await asyncio.wait_for(reserve(store, charge(1)), 20)
            with suppress(LimitStoreUnavailable):
                await store.maintain()
            await asyncio.sleep(0.05)


async def test_a_wrong_answer_does_not_end_the_store(tmp_path, monkeypatch):
    async def wrong(**_: object) -> list[int]:
        return [7]

    with redis_server(tmp_path) as server:
        async with started(RedisLimitStore(server.url)) as store:
            with monkeypatch.context() as patch:
                patch.setattr(store, "_script", wrong)
                with pytest.raises(LimitStoreUnavailable):
                    await asyncio.wait_for(reserve(store, charge(1)), 20)
            await working(store)
            assert await room(store) == 10


async def test_a_redis_that_hangs_is_an_error_and_then_takes_no_time():
    with silent_server() as url:
        async with started(RedisLimitStore(url)) as store:
            with pytest.raises(LimitStoreUnavailable):
                await reserve(store, charge(1))
            assert not store.answers
            for _ in range(200):
                with pytest.raises(LimitStoreUnavailable):
                    store.reserve([charge(1)])


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


async def test_a_bug_of_ours_is_in_the_log_with_its_traceback():
    with capture_logs() as log:
        async with started(RedisLimitStore("redis://127.0.0.1:9/0")) as store:
            # At once, so that the first command to the server would have it.
            verdict = store.reserve([charge(object())])
            with pytest.raises(LimitStoreUnavailable):
                await asyncio.wait_for(verdict, 20)
    (bug,) = [each for each in log if each["event"] == "redis_command_broken"]
    assert isinstance(bug["exc_info"], TypeError)


async def test_a_server_that_is_down_is_no_bug():
    with capture_logs() as log:
        async with started(RedisLimitStore("redis://127.0.0.1:9/0")) as store:
            with pytest.raises(LimitStoreUnavailable):
                await asyncio.wait_for(reserve(store, charge(1)), 20)
    assert not [each for each in log if each["event"] == "redis_command_broken"]
