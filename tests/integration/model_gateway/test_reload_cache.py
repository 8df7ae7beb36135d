"""A reload of what the cache keeps, for how long, and of the model that tells what means the same."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest, ReloadModelsRequest
from clawdbot_model_gateway.core.reply_cache import similar_requests
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from tests.support.cached_gateway import ask, connected, has_stored, replies_of, status
from tests.support.conditions import until
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible
from tests.support.generate_requests import asks
from tests.support.ports import free_port
from tests.support.redis_server import redis_server
from tests.support.reloads import ConfigFile, loaded, models, reload

ALIASES = {"chat": "a/m", "near": ["e/echo", {"target": "a/m", "fallback": True}]}
SIMILAR = CachePolicy(mode=CachePolicy.MODE_USE, semantic=True)
ONE, OTHER = "what is the age of the universe", "please tell me what is the age of the universe"


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


def sections(cache, **embedder) -> dict:
    backends = {
        "a": {"provider": "scripted", "models": ["m"], "replies": [{"text": "yes"}]},
        "e": {"provider": "echo", **embedder},
    }
    return {**models(ALIASES, **backends), "gateway": {"cache": cache}}


def semantic(**more) -> dict:
    return {"semantic": {"model": "near", "tenants": ["*"], "timeout": "10s", **more}}


async def test_a_longer_time_holds_in_redis_as_well(config, tmp_path):
    with redis_server(tmp_path) as redis:
        config.write(sections({"redis": redis.url, "max_ttl": "1s"}))
        async with loaded(config, tmp_path, gateway=None) as served:
            await connected(served)
            config.write(sections({"redis": redis.url, "max_ttl": "1h"}))
            await reload(served.client)
            policy = CachePolicy(mode=CachePolicy.MODE_USE, ttl=Duration(seconds=3600))
            await ask(served, asks("q", model="chat", cache=policy))
            await until(lambda: has_stored(served))
            client = replies_of(served)._shared._redis
            (name,) = await client.keys("*:reply:*")
            assert await client.ttl(name) > 3000


async def test_a_model_that_is_not_up_yet_is_measured_long_after_the_call_that_reloads(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(similar_requests, "RETRY_INTERVAL", 0.1)
    port = free_port()
    near = compatible(f"http://127.0.0.1:{port}/v1", api_key=KEY, models=["echo"], breaker={"enabled": False})
    config.write(sections({}, **near))
    async with loaded(config, tmp_path, gateway=None) as served:
        config.write(sections(semantic(), **near))
        with capture_logs() as log:

            def says(event: str) -> bool:
                return any(each["event"] == event for each in log)

            await served.client.admin.ReloadModels(ReloadModelsRequest(), timeout=2)
            await until(lambda: says("semantic_cache_waits"))
            await asyncio.sleep(2.5)
            async with fake_openai(port=port):
                # Its vectors tell texts apart by their lengths.
                await until(lambda: says("semantic_cache_refused"))


async def test_the_semantic_cache_is_turned_on_changed_and_turned_off(config, tmp_path):
    async def outcomes() -> list[str]:
        return [
            status(await ask(served, asks(text, model="chat", cache=policy)))
            for text, policy in ((ONE, SIMILAR), (OTHER, SIMILAR))
        ]

    async def reloaded(*arguments, **options) -> list[str]:
        """What the log says of the semantic cache after a reload; its first word is awaited."""
        config.write(sections(*arguments, **options))
        with capture_logs() as log:
            assert not (await reload(served.client)).restart_needed
            if arguments[0]:
                await until(lambda: replies_of(served).similar._measured is not None)
        return [each["event"] for each in log if each["event"].startswith("semantic")]

    config.write(sections({}))
    async with loaded(config, tmp_path, gateway=None) as served:
        assert await outcomes() == ["MISS", "MISS"]
        await served.client.admin.FlushCache(FlushCacheRequest())
        assert await reloaded(semantic(threshold=0.8)) == ["semantic_cache_on"]
        assert await outcomes() == ["MISS", "SIMILAR"]
        assert await reloaded(semantic(threshold=0.8)) == []
        assert await outcomes() == ["HIT", "SIMILAR"], "what it has learned stays"
        assert await reloaded(semantic(threshold=0.8), transform="upper") == ["semantic_cache_on"]
        assert await reloaded(semantic(threshold=0.85)) == ["semantic_cache_on"]
        assert await reloaded({}) == []
        assert await outcomes() == ["HIT", "MISS"]
