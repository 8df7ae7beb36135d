"""Limits and usage that replicas share through Redis, and a Redis that fails."""

from __future__ import annotations

import asyncio
import signal
import time

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest
from clawdbot_model_gateway.core.limits import timed_store
from clawdbot_model_gateway.stores.redis import limit_store
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import StartupError

from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks
from tests.support.redis_server import redis_server, silent_server

ECHO = {"provider": "echo"}


@pytest.fixture(autouse=True)
def patient(request, monkeypatch):
    """A busy machine takes longer than a dead server is waited for."""
    if "silent" not in request.function.__name__:
        monkeypatch.setattr(limit_store, "SOCKET_TIMEOUT", 10.0)
        monkeypatch.setattr(timed_store, "MAX_BUSY", 60.0)


def shared(url: str, requests: str = "10/month", **more) -> dict:
    return {"model": ECHO, "limits": {"redis": url, "timeout": 20, "tenant": {"requests": requests}, **more}}


async def outcome(served) -> str:
    try:
        await served.client.gateway.Generate(asks(model="chat"), timeout=30)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {remote_error(error).reason}"
    return "OK"


async def test_a_limit_of_n_over_replicas_admits_n(tmp_path):
    with redis_server(tmp_path) as redis:
        async with (
            gateway(tmp_path / "one", **shared(redis.url)) as one,
            gateway(tmp_path / "two", **shared(redis.url)) as two,
        ):
            calls = [outcome((one, two)[number % 2]) for number in range(100)]
            results = await asyncio.gather(*calls)
    assert results.count("OK") == 10
    assert results.count("RESOURCE_EXHAUSTED LIMIT_REACHED") == 90


async def test_replicas_have_one_record_of_usage_that_outlives_them(tmp_path):
    with redis_server(tmp_path) as redis:
        for name in ("one", "two"):
            async with gateway(tmp_path / name, **shared(redis.url)) as served:
                assert await outcome(served) == "OK"
        async with gateway(tmp_path / "three", **shared(redis.url, "2/month")) as served:
            page = await served.client.admin.GetUsage(GetUsageRequest())
            assert [each.requests for each in page.records] == [2]
            assert page.records[0].usage.input_tokens > 0
            assert await outcome(served) == "RESOURCE_EXHAUSTED LIMIT_REACHED"


async def test_while_redis_is_down_calls_are_allowed_and_count_later(tmp_path):
    with redis_server(tmp_path) as redis:
        async with gateway(tmp_path, **shared(redis.url)) as served:
            store = served.application._components.accounting._store
            assert await outcome(served) == "OK"
            await until(lambda: not store._settled and not store._sending)
            redis.kill()
            assert [await outcome(served) for _ in range(9)] == ["OK"] * 9
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await served.client.admin.GetUsage(GetUsageRequest())
            assert remote_error(failed.value).reason == "USAGE_UNAVAILABLE"
            # Empty, but for the nine calls that were let through.
            redis.start()

            async def counted() -> bool:
                try:
                    page = await served.client.admin.GetUsage(GetUsageRequest())
                except grpc.aio.AioRpcError:
                    return False
                return [each.requests for each in page.records][:1] >= [9]

            await until(counted)
            await until(lambda: not store._failure and not store._settled and not store._sending)
            results = [await outcome(served) for _ in range(2)]
    assert results == ["OK", "RESOURCE_EXHAUSTED LIMIT_REACHED"]


async def test_while_redis_is_down_calls_are_refused_where_that_is_the_policy(tmp_path):
    with redis_server(tmp_path) as redis:
        async with gateway(tmp_path, **shared(redis.url, on_error="refuse")) as served:
            assert await outcome(served) == "OK"
            redis.kill()
            assert {await outcome(served) for _ in range(5)} == {"UNAVAILABLE LIMITS_UNAVAILABLE"}
            redis.start()
            await until(lambda: is_ok(served))


async def is_ok(served) -> bool:
    return await outcome(served) == "OK"


@pytest.mark.parametrize(
    ("policy", "expected"), [("allow", "OK"), ("refuse", "UNAVAILABLE LIMITS_UNAVAILABLE")]
)
async def test_a_silent_redis_holds_nobody_up(tmp_path, policy, expected):
    with silent_server() as url:
        limits = {"redis": url, "tenant": {"requests": "10/month"}, "on_error": policy}
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            started_at = time.monotonic()
            assert {await outcome(served) for _ in range(100)} == {expected}
            assert time.monotonic() - started_at < 30


async def test_after_one_call_nobody_waits_for_a_silent_redis(tmp_path):
    """Until it has answered, which the connection waits for longer than callers do."""
    with silent_server() as url:
        limits = {"redis": url, "timeout": 0.5, "tenant": {"requests": "10/month"}}
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            assert await outcome(served) == "OK"
            waits = [await timed(outcome(served)) for _ in range(10)]
    # All of them would; a busy machine delays some.
    assert sum(each > 0.4 for each in waits) <= 5


async def timed(call) -> float:
    started_at = time.monotonic()
    await call
    return time.monotonic() - started_at


async def test_what_a_silent_redis_was_asked_to_reserve_is_free_as_soon_as_it_answers(tmp_path):
    with redis_server(tmp_path) as redis:
        limits = {"redis": redis.url, "on_error": "refuse", "tenant": {"concurrent": 1}}
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            await until(lambda: is_ok(served))
            redis.process.send_signal(signal.SIGSTOP)
            assert await outcome(served) == "UNAVAILABLE LIMITS_UNAVAILABLE"
            store = served.application._components.accounting._store
            await until(lambda: store._failure)
            redis.process.send_signal(signal.SIGCONT)
            assert await timed(until(lambda: is_ok(served))) < limit_store.LEASE - 5


async def test_a_redis_that_is_busy_lifts_no_limit(tmp_path):
    """It is not down before it is given up: calls wait for it, as far as they have no room for certain."""
    with redis_server(tmp_path) as redis:
        limits = {"redis": redis.url, "timeout": 0.05, "tenant": {"requests": "3/month"}}
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            await until(lambda: served.application._components.accounting._store.answers)
            redis.process.send_signal(signal.SIGSTOP)
            try:
                calls = [asyncio.create_task(outcome(served)) for _ in range(50)]
                await until(lambda: sum(each.done() for each in calls) == 3)
            finally:
                redis.process.send_signal(signal.SIGCONT)
            results = await asyncio.gather(*calls)
    assert results.count("OK") == 3
    assert results.count("RESOURCE_EXHAUSTED LIMIT_REACHED") == 47


async def test_usage_does_not_wait_for_a_silent_redis(tmp_path):
    with redis_server(tmp_path) as redis:
        limits = {"redis": redis.url, "tenant": {"requests": "10/month"}}
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            await until(lambda: is_ok(served))
            redis.process.send_signal(signal.SIGSTOP)
            assert await outcome(served) == "OK"
            try:
                started_at = time.monotonic()
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await served.client.admin.GetUsage(GetUsageRequest(), timeout=30)
                assert time.monotonic() - started_at < 20
            finally:
                redis.process.send_signal(signal.SIGCONT)
    assert remote_error(failed.value).reason == "USAGE_UNAVAILABLE"


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://"])
async def test_a_wrong_url_is_refused_and_never_shown(tmp_path, url):
    with pytest.raises(ValueError, match="expected a URL such as redis://localhost:6379/0"):
        async with gateway(tmp_path, model=ECHO, limits={"redis": url}):
            pass


async def test_a_url_that_redis_cannot_parse_stops_the_start(tmp_path):
    with pytest.raises(StartupError, match=r"limits\.redis") as caught:
        async with gateway(tmp_path, model=ECHO, limits={"redis": "redis://:secret@localhost:port/0"}):
            pass
    assert "secret" not in str(caught.value)
