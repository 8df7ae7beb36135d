"""Both caches of replies keep the contract; each has facts of its own."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from contextlib import asynccontextmanager

import pytest
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheNotFlushed
from clawdbot_model_gateway.stores.file.flush_counters import FlushCounters
from clawdbot_model_gateway.stores.in_memory.reply_cache import InMemoryReplyCache
from clawdbot_model_gateway.stores.redis import reply_cache
from clawdbot_model_gateway.stores.redis.reply_cache import RedisReplyCache
from clawdbot_servicekit.errors import StartupError
from structlog.testing import capture_logs

from tests.contract.model_gateway.reply_cache_contract import KEY, ReplyCacheContract, key, stored
from tests.support.conditions import until
from tests.support.redis_server import garbage_server, redis_server, silent_server


def sample(metric, suffix="", **labels) -> float:
    """The sum of a metric's values with these labels."""
    return sum(
        each.value
        for family in metric.collect()
        for each in family.samples
        if each.name.endswith(suffix) and labels.items() <= each.labels.items()
    )


class TestInMemoryReplyCache(ReplyCacheContract):
    @pytest.fixture
    async def open_cache(self, tmp_path):
        opened = []

        async def make(capacity=1024 * 1024):
            metrics = CacheMetrics()
            cache = InMemoryReplyCache(capacity, FlushCounters(tmp_path / "gateway" / "count"), metrics)
            await cache.start()
            opened.append(cache)
            return cache

        yield make
        for each in opened:
            await each.stop()

    @pytest.fixture
    async def cache(self, open_cache):
        return await open_cache()

    @pytest.fixture
    async def other(self, open_cache, cache):
        return await open_cache()

    async def test_it_is_bounded_by_bytes(self, open_cache):
        cache = await open_cache(100_000)
        for number in range(100):
            where = key(digest=bytes([number]))
            cache.put(where, bytes(10_000), ttl=60.0, stamp=(await cache.get(where)).stamp)
            assert sample(cache._metrics.bytes) <= 100_000
        assert 1 <= sample(cache._metrics.entries) <= 10
        assert sample(cache._metrics.evictions, "_total") >= 90

    async def test_a_reply_larger_than_the_cache_is_dropped(self, open_cache):
        cache = await open_cache(1000)
        cache.put(KEY, bytes(10_000), ttl=60.0, stamp=(await cache.get(KEY)).stamp)
        assert (await cache.get(KEY)).reply is None
        assert sample(cache._metrics.bytes) == 0

    async def test_a_flush_frees_the_memory_and_counts(self, cache):
        for number in range(10):
            await stored(cache, key("ann" if number % 2 else "bob", digest=bytes([number])))
        assert await cache.flush("ann", "") == 5
        assert sample(cache._metrics.entries) == 5
        assert await cache.flush("", "") == 5
        assert (sample(cache._metrics.entries), sample(cache._metrics.bytes)) == (0, 0)
        assert await cache.flush("", "") == 0

    async def test_an_unusable_folder_stops_the_start_with_a_clear_message(self, tmp_path):
        (tmp_path / "file").write_text("")
        cache = InMemoryReplyCache(1000, FlushCounters(tmp_path / "file" / "count"), CacheMetrics())
        with pytest.raises(StartupError, match="Make it writable"):
            await cache.start()


@asynccontextmanager
async def connected(url: str):
    cache = RedisReplyCache(url, CacheMetrics())
    await cache.start()
    try:
        yield cache
    finally:
        await cache.stop()


async def ready(cache) -> RedisReplyCache:
    """The cache once its connection is made."""

    async def answers():
        return (await cache.get(KEY)).stamp is not None

    await until(answers)
    return cache


class TestRedisReplyCache(ReplyCacheContract):
    @pytest.fixture
    def server(self, tmp_path):
        with redis_server(tmp_path) as server:
            yield server

    @pytest.fixture
    async def cache(self, server):
        async with connected(server.url) as cache:
            yield await ready(cache)

    @pytest.fixture
    async def other(self, server, cache):
        async with connected(server.url) as other:
            yield await ready(other)

    async def test_what_is_stored_names_neither_tenant_nor_model(self, cache):
        await stored(cache)
        await cache.flush("ann", "a/m")
        for name in await cache._redis.keys("*"):
            assert b"ann" not in name
            assert b"a/m" not in name
            assert await cache._redis.pttl(name) > 0

    async def test_a_flush_holds_for_as_long_as_any_gateway_may_have_stored_a_reply(self, cache):
        cache.put(KEY, b"reply", ttl=10 * 86_400, stamp=(await cache.get(KEY)).stamp)
        await cache.flush("", "")
        (flushed,) = [each for each in await cache._redis.keys("*") if b":flush:" in each]
        await until(lambda: cache._redis.exists(f"{reply_cache.PREFIX}:reply:{KEY.digest.hex()}"))
        (reply,) = [each for each in await cache._redis.keys("*") if b":reply:" in each]
        assert 0 < await cache._redis.pttl(reply) < await cache._redis.pttl(flushed) <= 86_401_000

    async def test_a_dead_server_is_a_miss_and_comes_back(self, server, cache):
        await stored(cache)
        server.kill()
        started_at = time.monotonic()
        for _ in range(50):
            found = await cache.get(KEY)
            assert (found.reply, found.stamp) == (None, None)
            cache.put(KEY, b"reply", ttl=60.0, stamp=b"0" * 16)
        errors = sample(cache._metrics.redis_errors, "_total")
        seconds = time.monotonic() - started_at
        assert 3 <= errors < 20 + seconds, "it is not asked each time"
        with pytest.raises(CacheNotFlushed):
            await cache.flush("", "")
        server.start()
        await ready(cache)
        await stored(cache)

    async def test_a_large_reply_is_not_stored(self, cache):
        cache.put(KEY, bytes(2 * 1024 * 1024), ttl=60.0, stamp=(await cache.get(KEY)).stamp)
        assert (await cache.get(KEY)).reply is None


async def test_a_silent_server_takes_no_time():
    with silent_server() as url:
        async with connected(url) as cache:
            started_at = time.monotonic()
            for _ in range(200):
                assert (await cache.get(KEY)).stamp is None
            seconds = time.monotonic() - started_at
            # Three look-ups of 4 ms, and then one a second.
            assert (
                sample(cache._metrics.redis_errors, "_total", operation="get", reason="slow") <= 4 + seconds
            )
            assert len(cache._tasks) <= 64


async def test_a_server_that_was_never_there_does_not_keep_the_gateway_from_starting():
    async with connected("redis://127.0.0.1:1/0") as cache:
        assert (await cache.get(KEY)).reply is None


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b"*x\r\n",
    "no length": b"$zz\r\n",
    "no utf-8": b":\xff\r\n",
    "too short": b"*0\r\n",
    "too long": b"*6\r\n" + b"$-1\r\n" * 6,
    "no list": b"+OK\r\n",
    "numbers": b"*5\r\n" + b":1\r\n" * 5,
    "lists": b"*5\r\n" + b"*0\r\n" * 5,
    "null": b"_\r\n",
    "boolean": b"#t\r\n",
    "a map": b"%1\r\n+a\r\n+b\r\n",
    "zeros": bytes(100),
    "cut": b"$100\r\nabc",
    "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "a replica": b"-READONLY You can't write against a read only replica.\r\n",
    "no password": b"-NOAUTH Authentication required.\r\n",
    "a wrong password": b"-WRONGPASS invalid username-password pair\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "a cluster": b"-MOVED 1234 127.0.0.1:1\r\n",
    "another slot": b"-CROSSSLOT Keys in request don't hash to the same slot\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
async def test_whatever_a_server_answers_is_a_miss(answer, caplog):
    async with garbage_server(answer) as url, connected(url) as cache:
        for _ in range(5):
            found = await cache.get(KEY)
            assert (found.reply, found.stamp) == (None, None)
            found = await cache.get_all([KEY, key(digest=b"2")])
            assert [(each.reply, each.stamp) for each in found] == [(None, None)] * 2
            cache.put(KEY, b"reply", ttl=60.0, stamp=b"0" * 16)
            await asyncio.sleep(0.01)
        if answer not in (b"+OK\r\n", b"", bytes(100), b"$100\r\nabc"):
            with pytest.raises(CacheNotFlushed):
                await cache.flush("", "")
        assert sample(cache._metrics.redis_errors, "_total") > 0
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_server_that_refuses_to_write_still_reads(tmp_path):
    with redis_server(tmp_path) as server:
        async with connected(server.url) as cache:
            await ready(cache)
            await stored(cache)
            await cache._redis.config_set("maxmemory", "1")
            started_at = time.monotonic()
            for _ in range(20):
                cache.put(key(digest=b"2"), b"reply", ttl=60.0, stamp=(await cache.get(KEY)).stamp)
                assert (await cache.get(KEY)).reply == b"reply"
                await asyncio.sleep(0.005)
            seconds = time.monotonic() - started_at
            # Three times, and then once a second.
            assert 3 <= sample(cache._metrics.redis_errors, "_total", operation="put") <= 5 + seconds


async def test_a_paused_server_takes_no_time_and_comes_back(tmp_path):
    with redis_server(tmp_path) as server:
        async with connected(server.url) as cache:
            await ready(cache)
            await stored(cache)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(reply_cache, "BUDGET", 0.004)
                server.process.send_signal(signal.SIGSTOP)
                try:
                    started_at = time.monotonic()
                    for _ in range(200):
                        assert (await cache.get(KEY)).stamp is None
                    assert time.monotonic() - started_at < 20
                finally:
                    server.process.send_signal(signal.SIGCONT)

            async def found():
                return (await cache.get(KEY)).reply == b"reply"

            await until(found)


async def test_the_answer_to_another_command_is_nobodys_reply(tmp_path):
    """Should a connection mix up its answers, no key gets the reply of another."""
    with redis_server(tmp_path) as server:
        async with connected(server.url) as cache:
            await ready(cache)
            await stored(cache)
            (mine,) = await cache._redis.keys("*:reply:*")
            other = key(digest=b"2")
            await cache._redis.rename(
                mine, mine.replace(KEY.digest.hex().encode(), other.digest.hex().encode())
            )
            assert (await cache.get(other)).reply is None


async def test_a_huge_value_is_not_served(tmp_path):
    with redis_server(tmp_path) as server:
        async with connected(server.url) as cache:
            await ready(cache)
            await stored(cache)
            (name,) = await cache._redis.keys("*:reply:*")
            await cache._redis.append(name, bytes(2 * 1024 * 1024))
            assert (await cache.get(KEY)).reply is None


async def test_a_bug_of_ours_is_a_miss_and_in_the_log(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(reply_cache, "_look_ups", broken)
    with redis_server(tmp_path) as server, capture_logs() as log:
        async with connected(server.url) as cache:
            await until(lambda: [each for each in log if each["event"] == "redis_command_broken"])
            assert (await cache.get(KEY)).reply is None
