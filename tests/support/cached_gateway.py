"""A gateway whose backends are scripted and count their requests, and what tests of its cache ask of it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import (
    CachePolicy,
    CacheStatus,
    StreamGenerateRequest,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.reply_cache.port import CacheKey

from tests.support.conditions import until
from tests.support.gateway_service import ended_with_task, gateway
from tests.support.generate_requests import asks, check_grammar
from tests.support.scripted_provider import FakeProvider, says

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
USE = CachePolicy(mode=CachePolicy.MODE_USE)
BYPASS = CachePolicy(mode=CachePolicy.MODE_BYPASS)
REFRESH = CachePolicy(mode=CachePolicy.MODE_REFRESH)
MODELS = {
    "backends": {
        "a": {"provider": "echo", "models": ["m", "n"]},
        "b": {"provider": "echo", "models": ["m"]},
    },
    "aliases": {"chat": "a/m", "both": ["a/m", {"target": "b/m", "fallback": True}]},
}
REPORTED = Usage(
    input_tokens=9, output_tokens=4, cost_micros=77, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED
)
CACHED = Usage(input_tokens=9, output_tokens=4, provenance=UsageProvenance.USAGE_PROVENANCE_CACHED)


def costs(*pieces: str) -> list:
    """A reply whose usage the backend reports."""
    *content, end = says(*pieces)
    return [*content, events.usage(REPORTED), end]


@asynccontextmanager
async def cached(tmp_path, *scripts, b=None, cache=None, models=MODELS, **sections):
    """A gateway whose backend a plays the scripts; yields it and the provider."""
    provider = FakeProvider(*scripts)
    section = {"gateway": {"cache": cache}} if cache else {}
    async with gateway(tmp_path, models=models, **section, **sections) as served:
        backends = served.application._components.backends
        backends["a"].provider = provider
        backends["b"].provider = b or FakeProvider()
        yield served, provider


async def ask(served, request=None, rpc="generate", **options):
    """The whole reply, over either RPC."""
    request = request or asks(model="chat", cache=USE)
    if rpc == "generate":
        return await ended_with_task(served.client.gateway.Generate(request, timeout=20, **options))
    streamed = StreamGenerateRequest(request=request)
    seen = await ended_with_task(served.client.gateway.StreamGenerate(streamed, timeout=20, **options))
    check_grammar(seen)
    return accumulate(seen)


def status(reply) -> str:
    return CacheStatus.Name(reply.cache_status).removeprefix("CACHE_STATUS_")


def text(reply) -> str:
    return "".join(part.text for part in reply.message.parts)


def replies_of(served):
    return served.application._components.replies


def followers(served) -> int:
    """How many requests follow calls that can be joined."""
    return sum(len(each._followers) for each in replies_of(served)._flights.values())


KEY = CacheKey("ann", "a/m", b"1" * 32)


async def connected(*gateways) -> None:
    """Waits until Redis answers in time."""
    for each in gateways:
        shared = replies_of(each)._shared

        async def answers(shared=shared):
            return (await shared.get(KEY)).stamp is not None

        await until(answers)


async def has_stored(served) -> bool:
    return bool(await replies_of(served)._shared._redis.keys("*:reply:*"))
