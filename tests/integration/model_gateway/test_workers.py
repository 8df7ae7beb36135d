"""Several workers behind one port act as one gateway."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy, CacheStatus
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest, GetUsageRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support.conditions import until
from tests.support.generate_requests import asks
from tests.support.two_workers import two_workers

pytestmark = pytest.mark.integration

USE = CachePolicy(mode=CachePolicy.MODE_USE)
MODELS = {"backends": {"a": {"provider": "echo"}, "b": {"provider": "echo"}}}


async def test_a_switch_takes_effect_in_all_workers_at_once(tmp_path):
    async with two_workers(tmp_path, MODELS) as workers:
        clients = workers.clients

        async def answering() -> set[str]:
            return {(await each.gateway.Generate(asks("x", model="chat"))).backend for each in clients}

        assert await answering() == {"a"}
        for target in ("b/echo", "a/echo", "b/echo"):
            await clients[0].switch("chat", target)
            assert await answering() == {target[0]}
        # Every worker recognizes a repeated change.
        await clients[0].switch("chat", "a/echo", request_id="r-1")
        await clients[0].switch("chat", "b/echo", request_id="r-2")
        for each in clients:
            await each.switch("chat", "a/echo", request_id="r-1")
        assert await answering() == {"b"}


async def test_a_flush_takes_effect_in_all_workers_at_once(tmp_path):
    async with two_workers(tmp_path, MODELS) as workers:
        clients = workers.clients

        async def statuses() -> list[int]:
            replies = [await each.gateway.Generate(asks("x", model="chat", cache=USE)) for each in clients]
            return [each.cache_status for each in replies]

        for flushing in clients[:6]:
            assert (await statuses()).count(CacheStatus.CACHE_STATUS_MISS) == 2, "one for each worker"
            assert set(await statuses()) == {CacheStatus.CACHE_STATUS_HIT}
            assert (await flushing.admin.FlushCache(FlushCacheRequest(model="chat"))).entries == 1


async def test_a_limit_holds_for_all_workers_together_and_usage_is_that_of_all(tmp_path):
    limits = '{"tenant": {"requests": "7/month"}, "timeout": 20}'
    async with two_workers(tmp_path, MODELS, CLAWDBOT_LIMITS=limits) as workers:
        clients = workers.clients
        calls = [client.gateway.Generate(asks("x", model="chat"), timeout=30) for client in clients * 4]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        assert len(outcomes) - len(refused) == 7
        assert {remote_error(each).reason for each in refused} == {"LIMIT_REACHED"}

        async def usage_is_complete() -> bool:
            page = await clients[0].admin.GetUsage(GetUsageRequest())
            return sum(each.requests for each in page.records) == 7

        await until(usage_is_complete)
