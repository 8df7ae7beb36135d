"""Several workers behind one port act as one gateway."""

from __future__ import annotations

from contextlib import AsyncExitStack

import grpc.aio
import pytest

from tests.support.gateway_service import Client
from tests.support.generate_requests import asks
from tests.support.processes import process

pytestmark = pytest.mark.integration

CONNECTIONS = 24
"""Each goes to one of the two workers; all go to the same one once in eight million runs."""

MODELS = '{"backends": {"a": {"provider": "echo"}, "b": {"provider": "echo"}}}'


async def test_a_switch_takes_effect_in_all_workers_at_once(tmp_path):
    async with AsyncExitStack() as stack:
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=tmp_path / "plugins"))
        settings = {
            "CLAWDBOT_SERVER__WORKERS": "2",
            "CLAWDBOT_MODELS": MODELS,
            "CLAWDBOT_PEERS__PLUGINS": plugins.address,
        }
        served = await stack.enter_async_context(
            process("clawdbot_model_gateway", state=tmp_path / "gateway", environment=settings)
        )
        clients = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(served.address, (("grpc.use_local_subchannel_pool", 1),))
            clients.append(Client(await stack.enter_async_context(channel)))

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
