"""ListBackends counts what became of requests."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks

REPLIES = [
    {"when": "fail", "fault": {"kind": "failed"}},
    {"when": "hang", "fault": {"kind": "hang"}},
    {"text": "yes", "usage": {"input": 7, "output": 3}},
]
MODELS = {
    "backends": {
        "a": {"provider": "scripted", "models": ["m"], "replies": REPLIES},
        "b": {"provider": "echo", "models": ["echo"]},
    },
    "aliases": {"chat": ["a/m", {"target": "b/echo", "fallback": True}]},
}


async def counted(served, name="a") -> tuple[int, ...]:
    listed = await served.client.admin.ListBackends(admin.ListBackendsRequest())
    (one,) = [each for each in listed.backends if each.name == name]
    return one.requests, one.errors, one.input_tokens, one.output_tokens, one.cache_hits


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_replies_failures_and_fallbacks_are_counted_where_they_happen(tmp_path, rpc):
    async with gateway(tmp_path, models=MODELS) as served:
        for _ in range(2):
            await served.client.run(asks("x", model="chat"), rpc)
        assert await counted(served) == (2, 0, 14, 6, 0)
        await served.client.run(asks("fail", model="chat"), rpc)
        assert (await counted(served))[:2] == (3, 1)
        assert (await counted(served, "b"))[:2] == (1, 0)


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_reply_from_the_cache_is_no_request(tmp_path, rpc):
    use = CachePolicy(mode=CachePolicy.MODE_USE)
    async with gateway(tmp_path, models=MODELS) as served:
        for _ in range(3):
            await served.client.run(asks("x", model="a/m", cache=use), rpc)
        assert await counted(served) == (1, 0, 7, 3, 2)


async def test_a_cancelled_request_is_no_error(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        call = asyncio.create_task(served.client.run(asks("hang", model="a/m"), "stream"))
        await until(lambda: not served.idle)
        call.cancel()
        await until(lambda: served.idle)
        assert (await counted(served))[:2] == (1, 0)


async def test_embeddings_are_counted(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        await served.client.gateway.Embed(EmbedRequest(model="b/echo", texts=["one two"]))
        requests, errors, tokens, *_ = await counted(served, "b")
        assert (requests, errors) == (1, 0)
        assert tokens > 0
