"""Several workers behind one port act as one gateway."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy, CacheStatus
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest, GetUsageRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support.gateway_service import Client
from tests.support.generate_requests import asks
from tests.support.processes import process
from tests.support.redis_server import until

pytestmark = pytest.mark.integration

CONNECTIONS = 24
"""Each goes to one of the two workers; all go to the same one once in eight million runs."""

USE = CachePolicy(mode=CachePolicy.MODE_USE)
MODELS = '{"backends": {"a": {"provider": "echo"}, "b": {"provider": "echo"}}}'


@asynccontextmanager
async def clients_of_two_workers(folder, **more: str):
    """Clients on connections of their own, which the system distributes over the workers."""
    async with AsyncExitStack() as stack:
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=folder / "plugins"))
        settings = {
            "CLAWDBOT_SERVER__WORKERS": "2",
            "CLAWDBOT_MODELS": MODELS,
            "CLAWDBOT_PEERS__PLUGINS": plugins.address,
            **more,
        }
        served = await stack.enter_async_context(
            process("clawdbot_model_gateway", state=folder / "gateway", environment=settings)
        )
        # The first worker is SERVING before the second listens.
        await until(lambda: served.log.read_text().count("listening") >= 2)
        clients = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(served.address, (("grpc.use_local_subchannel_pool", 1),))
            clients.append(Client(await stack.enter_async_context(channel)))
        yield clients


async def test_a_switch_takes_effect_in_all_workers_at_once(tmp_path):
    async with clients_of_two_workers(tmp_path) as clients:

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
    async with clients_of_two_workers(tmp_path) as clients:

        async def statuses() -> list[int]:
            replies = [await each.gateway.Generate(asks("x", model="chat", cache=USE)) for each in clients]
            return [each.cache_status for each in replies]

        for flushing in clients[:6]:
            assert (await statuses()).count(CacheStatus.CACHE_STATUS_MISS) == 2, "one for each worker"
            assert set(await statuses()) == {CacheStatus.CACHE_STATUS_HIT}
            assert (await flushing.admin.FlushCache(FlushCacheRequest(model="chat"))).entries == 1


async def test_a_limit_holds_for_all_workers_together_and_usage_is_that_of_all(tmp_path):
    limits = '{"tenant": {"requests": "7/month"}, "timeout": 20}'
    async with clients_of_two_workers(tmp_path, CLAWDBOT_LIMITS=limits) as clients:
        calls = [client.gateway.Generate(asks("x", model="chat"), timeout=30) for client in clients * 4]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        assert len(outcomes) - len(refused) == 7
        assert {remote_error(each).reason for each in refused} == {"LIMIT_REACHED"}

        async def usage_is_complete() -> bool:
            page = await clients[0].admin.GetUsage(GetUsageRequest())
            return sum(each.requests for each in page.records) == 7

        await until(usage_is_complete)
