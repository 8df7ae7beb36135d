"""What a cache answers needs no room for tokens and money: those are reserved when a backend is asked."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.model_admin_service_pb2 import USAGE_DIMENSION_KEY, GetUsageRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed
from clawdbot_servicekit.error_table import remote_error

from tests.support.cached_gateway import BYPASS, REFRESH, RPCS, USE, ask, cached, followers, status
from tests.support.conditions import until
from tests.support.fake_embedder import FakeEmbedder
from tests.support.generate_requests import asks
from tests.support.priced_gateway import usage_of
from tests.support.scripted_provider import FakeProvider, says

KEYS = {"ann": "a" * 30, "bob": "b" * 30}
PRICES = {"*": {"input": 1, "output": 1}}
MODELS = {
    "backends": {
        "a": {"provider": "echo", "models": ["m", "n"], "prices": PRICES},
        "b": {"provider": "echo", "models": ["m"], "prices": PRICES},
    },
    "aliases": {"chat": "a/m", "both": ["a/m", {"target": "b/m", "fallback": True}]},
}


def tokens(count: int) -> list:
    """A reply that used so many."""
    usage = Usage(input_tokens=count, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED)
    *content, end = says("yes")
    return [*content, events.usage(usage), end]


def asked(text: str = "x", cache=USE, model: str = "chat", **fields):
    return asks(text, model=model, cache=cache, sampling={"max_tokens": 50, "temperature": 0}, **fields)


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {KEYS[key]}"),)


async def outcome(served, request, *, key: str = "", rpc: str = "generate") -> str:
    try:
        return status(await ask(served, request, rpc, metadata=bearer(key) if key else ()))
    except grpc.aio.AioRpcError as error:
        return remote_error(error).reason


LIMITS = {"tokens": "100/month", "cost": "0.0001/month"}


@pytest.mark.parametrize("limit", LIMITS)
@RPCS
async def test_a_stored_reply_is_served_when_tokens_and_money_are_spent(tmp_path, limit, rpc):
    limits = {"tenant": {limit: LIMITS[limit]}}
    async with cached(tmp_path, tokens(100), models=MODELS, limits=limits) as (served, backend):
        seen = [await outcome(served, asked(), rpc=rpc) for _ in range(3)]
        assert seen == ["MISS", "HIT", "HIT"]
        spent = "BUDGET_SPENT" if limit == "cost" else "LIMIT_REACHED"
        for cache in (USE, BYPASS, REFRESH):
            assert await outcome(served, asked("other", cache), rpc=rpc) == spent
        assert await outcome(served, asked(cache=REFRESH), rpc=rpc) == spent
        assert len(backend.asked) == 1
        # A refused call is not counted.
        assert (await usage_of(served))["a/m"][0] == 3


async def test_each_reply_from_the_cache_is_a_request(tmp_path):
    limits = {"tenant": {"requests": "3/month", "tokens": "100/month"}}
    async with cached(tmp_path, tokens(10), models=MODELS, limits=limits) as (served, _):
        seen = [await outcome(served, asked()) for _ in range(4)]
    assert seen == ["MISS", "HIT", "HIT", "LIMIT_REACHED"]


async def test_a_call_that_is_refused_when_it_would_be_sent_uses_nothing(tmp_path):
    limits = {"tenant": {"requests": "2/month", "tokens": "100/month", "concurrent": 1}}
    async with cached(tmp_path, tokens(10), models=MODELS, limits=limits) as (served, _):
        large = asked("word " * 200)
        assert [await outcome(served, large) for _ in range(3)] == ["LIMIT_REACHED"] * 3
        assert [await outcome(served, asked()) for _ in range(3)] == ["MISS", "HIT", "LIMIT_REACHED"]


@RPCS
async def test_fifty_equal_calls_at_once_reserve_what_one_may_use(tmp_path, rpc):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *tokens(10)[1:]]
    limits = {"tenant": {"tokens": "60/month"}}
    async with cached(tmp_path, script, models=MODELS, limits=limits) as (served, backend):
        calls = [asyncio.create_task(outcome(served, asked(), rpc=rpc)) for _ in range(50)]
        await until(lambda: followers(served) == 50)
        # Another one does not fit.
        assert await outcome(served, asked("other")) == "LIMIT_REACHED"
        gate.set()
        assert sorted(await asyncio.gather(*calls)) == ["COALESCED"] * 49 + ["MISS"]
        assert len(backend.asked) == 1
        requests, usage = (await usage_of(served))["a/m"]
        assert (requests, usage.input_tokens) == (50, 10)
        # What the call has not used is free again: 50 of 60.
        assert (
            await outcome(served, asked("a", sampling_of=None) if False else asked("ab")) == "LIMIT_REACHED"
        )


async def test_a_caller_who_may_not_leaves_the_shared_call_to_one_who_may(tmp_path):
    gate = asyncio.Event()
    scopes = ["models", "models.admin"]
    keys = [{"id": name, "tenant": "acme", "key": key, "scopes": scopes} for name, key in KEYS.items()]
    limits = {"keys": {"ann": {"tokens": "10/month"}, "bob": {"tokens": "100/month"}}}
    async with cached(tmp_path, tokens(10), models=MODELS, auth={"keys": keys}, limits=limits) as (
        served,
        backend,
    ):
        replies = served.application._components.replies

        class Slow:
            """A cache that is asked between the memory and the backend, and takes its time."""

            async def get(self, key):
                await gate.wait()
                return await replies._memory.get(key)

            def put(self, *args, **more):
                pass

            async def stop(self):
                pass

        replies._shared = Slow()
        first = asyncio.create_task(outcome(served, asked(), key="ann"))
        await until(lambda: followers(served) == 1)
        second = asyncio.create_task(outcome(served, asked(), key="bob"))
        await until(lambda: followers(served) == 2)
        gate.set()
        assert [await first, await second] == ["LIMIT_REACHED", "MISS"]
        assert len(backend.asked) == 1
        query = GetUsageRequest(group_by=[USAGE_DIMENSION_KEY])
        page = await served.client.admin.GetUsage(query, metadata=bearer("bob"))
        assert [(each.key_id, each.usage.input_tokens) for each in page.records] == [("bob", 10)]


@pytest.mark.parametrize("leaves", ["first", "second"])
async def test_who_leaves_a_shared_call_gives_back_what_it_has_reserved(tmp_path, leaves):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *tokens(10)[1:]]
    limits = {"tenant": {"tokens": "200/month"}}
    async with cached(tmp_path, script, tokens(1), models=MODELS, limits=limits) as (served, _):
        calls = [served.client.begin(asked(), "generate") for _ in range(1)]
        await until(lambda: followers(served) == 1)
        calls.append(served.client.begin(asked(), "generate"))
        await until(lambda: followers(served) == 2)
        calls[leaves == "second"].cancel()
        await until(lambda: followers(served) == 1)
        gate.set()
        await calls[leaves == "first"]
        assert (await usage_of(served))["a/m"][1].input_tokens == 10
        # 190 are left: exactly enough for three of some 60.
        results = [await outcome(served, asked(str(n), BYPASS)) for n in range(3)]
    assert results == ["BYPASS"] * 3


async def test_a_fallback_after_a_failure_reserves_once(tmp_path):
    limits = {"tenant": {"tokens": "70/month"}}
    failing = FakeProvider([BackendFailed("down")])
    async with cached(tmp_path, b=FakeProvider(tokens(10)), models=MODELS, limits=limits) as (served, _):
        served.application._components.backends["a"].provider = failing
        assert await outcome(served, asked(model="both")) == "MISS"
        assert await outcome(served, asked(model="b/m")) == "HIT"


async def test_known_texts_are_embedded_when_tokens_are_spent(tmp_path):
    limits = {"tenant": {"tokens": "4/month"}}
    async with cached(tmp_path, models=MODELS, limits=limits) as (served, _):
        served.application._components.backends["a"].provider = FakeEmbedder()

        async def embedded(*texts: str) -> str:
            try:
                reply = await served.client.gateway.Embed(EmbedRequest(texts=texts, model="chat"))
            except grpc.aio.AioRpcError as error:
                return remote_error(error).reason
            return status(reply)

        assert await embedded("a", "b", "c", "d") == "MISS"
        assert await embedded("d", "a") == "HIT"
        assert await embedded("new", "a") == "LIMIT_REACHED"
        assert await embedded("a", "b", "c", "d") == "HIT"
