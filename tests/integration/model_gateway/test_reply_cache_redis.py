"""Replies that replicas share through Redis, and a Redis that fails."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import StartupError

from tests.support.cached_gateway import (
    CACHED,
    USE,
    ask,
    cached,
    connected,
    costs,
    has_stored,
    replies_of,
    status,
    text,
)
from tests.support.conditions import until
from tests.support.generate_requests import asks
from tests.support.redis_server import redis_server, silent_server
from tests.support.scripted_provider import says


async def test_replicas_share_replies_through_redis(tmp_path):
    with redis_server(tmp_path) as redis:
        cache = {"redis": redis.url}
        async with (
            cached(tmp_path / "one", costs("yes"), cache=cache) as (one, _),
            cached(tmp_path / "two", says("other"), cache=cache) as (two, backend),
        ):
            await connected(one, two)
            assert status(await ask(one)) == "MISS"
            await until(lambda: has_stored(one))
            replies = [await ask(two, rpc=each) for each in ("stream", "generate")]
            assert [(status(each), text(each)) for each in replies] == [("HIT", "yes")] * 2
            assert {each.usage.provenance for each in replies} == {CACHED.provenance}
            assert backend.asked == []
            await one.client.admin.FlushCache(FlushCacheRequest())
            assert status(await ask(two)) == "HIT", "the memory of another machine is not reached"
            await two.client.admin.FlushCache(FlushCacheRequest())
            assert text(await ask(two)) == "other"


async def test_a_redis_that_dies_costs_a_miss(tmp_path):
    with redis_server(tmp_path) as redis:
        async with cached(tmp_path, cache={"redis": redis.url}) as (served, _):
            await connected(served)
            redis.kill()
            for number in range(10):
                assert status(await ask(served, asks(str(number), model="chat", cache=USE))) == "MISS"
            models = ("a/m", "b/m")
            for model in models:
                await ask(served, asks("0", model=model, cache=USE))
                assert status(await ask(served, asks("0", model=model, cache=USE))) == "HIT"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.client.admin.FlushCache(FlushCacheRequest(model="both"))
            assert remote_error(caught.value).reason == "CACHE_NOT_FLUSHED"
            for model in models:
                assert status(await ask(served, asks("0", model=model, cache=USE))) == "MISS"


async def test_a_redis_that_hangs_costs_a_miss(tmp_path):
    with silent_server() as url:
        async with cached(tmp_path, cache={"redis": url}) as (served, backend):
            replies = [await ask(served, asks(str(each), model="chat", cache=USE)) for each in range(20)]
    assert {status(each) for each in replies} == {"MISS"}
    assert len(backend.asked) == 20


async def test_what_is_no_reply_in_redis_is_a_miss(tmp_path):
    with redis_server(tmp_path) as redis:
        async with cached(tmp_path, cache={"redis": redis.url}) as (served, backend):
            await connected(served)
            await ask(served)
            await until(lambda: has_stored(served))
            shared = replies_of(served)._shared
            for name in await shared._redis.keys("*:reply:*"):
                value = await shared._redis.get(name)
                await shared._redis.set(name, value[:-3])
            replies_of(served)._memory._entries.clear()
            assert status(await ask(served)) == "MISS"
    assert len(backend.asked) == 2


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://"])
async def test_a_wrong_url_is_refused_and_never_shown(tmp_path, url):
    with pytest.raises(ValueError, match="expected a URL such as redis://localhost:6379/0"):
        async with cached(tmp_path, cache={"redis": url}):
            pass


async def test_a_url_that_redis_cannot_parse_stops_the_start(tmp_path):
    with pytest.raises(StartupError, match=r"gateway\.cache\.redis") as caught:
        async with cached(tmp_path, cache={"redis": "redis://:secret@localhost:port/0"}):
            pass
    assert "secret" not in str(caught.value)
