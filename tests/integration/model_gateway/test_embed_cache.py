"""Vectors from the cache: each text by itself, so that a backend only sees what is new."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_gateway.core.errors import RateLimited
from clawdbot_model_gateway.core.spending import note_usage
from clawdbot_servicekit.error_table import remote_error
from google.protobuf.duration_pb2 import Duration

from tests.support.cached_gateway import BYPASS, REFRESH, USE, cached, connected, replies_of, status
from tests.support.conditions import until
from tests.support.deadlines import expired
from tests.support.fake_embedder import FakeEmbedder, lengths
from tests.support.priced_gateway import usage_of
from tests.support.redis_server import redis_server

SPENT_NOTHING = Usage(provenance=UsageProvenance.USAGE_PROVENANCE_CACHED)
REPORTED = UsageProvenance.USAGE_PROVENANCE_REPORTED


async def embed(served, *texts, model="chat", **options):
    fields = {each: options.pop(each) for each in ("cache", "dimensions", "priority") if each in options}
    return await served.client.gateway.Embed(
        EmbedRequest(model=model, texts=texts, **fields), timeout=20, **options
    )


def vectors(reply) -> list[list[float]]:
    return [[*each.values] for each in reply.embeddings]


@pytest.fixture
async def served(tmp_path):
    async with cached(tmp_path, b=FakeEmbedder(model="b1")) as (served, _):
        served.embedder = use_embedder(served)
        yield served


def use_embedder(served, **options) -> FakeEmbedder:
    embedder = FakeEmbedder(**options)
    served.application._components.backends["a"].provider = embedder
    return embedder


async def test_only_texts_that_are_not_known_are_sent(served):
    texts = [f"{'x' * each} text" for each in range(1, 101)]
    first = await embed(served, *texts[:90])
    second = await embed(served, *texts[::-1])
    third = await embed(served, *texts)
    assert served.embedder.seen == [texts[:90], texts[:89:-1]]
    assert vectors(second) == [lengths(each) for each in reversed(texts)]
    assert vectors(third) == [lengths(each) for each in texts]
    assert [status(each) for each in (first, second, third)] == ["MISS", "MISS", "HIT"]
    assert [each.cached_texts for each in (first, second, third)] == [0, 90, 100]
    assert [each.usage.input_tokens for each in (first, second)] == [90, 10]
    assert {each.usage.provenance for each in (first, second)} == {REPORTED}
    assert third.usage == SPENT_NOTHING
    assert {(each.model, each.backend) for each in (first, second, third)} == {("v1", "a")}


async def test_a_text_that_occurs_twice_is_sent_once(served):
    reply = await embed(served, "a", "abc", "a")
    assert vectors(reply) == [[1, 1], [3, 1], [1, 1]]
    assert served.embedder.seen == [["a", "abc"]]
    assert (await embed(served, "a", "a")).cached_texts == 2


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"dimensions": 1}, False),
        ({"dimensions": 2}, False),
        ({"model": "a/n"}, False),
        ({"model": "b/m"}, False),
        ({"model": "a/m"}, True),
        ({"priority": 3}, True),
        ({"cache": USE}, True),
    ],
)
async def test_what_changes_a_vector_is_part_of_its_key(served, other, same):
    await embed(served, "abc")
    reply = await embed(served, "abc", **other)
    assert status(reply) == ("HIT" if same else "MISS")


async def test_a_reply_is_never_taken_for_a_vector(served):
    """The same bytes as a request and as a text have different keys."""
    await embed(served, "abc")
    assert status(await embed(served, "abc ")) == "MISS"
    assert status(await embed(served, "ABC")) == "MISS"


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        (None, ["MISS", "HIT"]),
        (USE, ["MISS", "HIT"]),
        (BYPASS, ["BYPASS", "BYPASS"]),
        (REFRESH, ["MISS", "MISS"]),
    ],
)
async def test_the_policy_of_a_request_decides(served, policy, statuses):
    assert [status(await embed(served, "abc", cache=policy)) for _ in range(2)] == statuses
    assert status(await embed(served, "abc")) == ("MISS" if policy == BYPASS else "HIT")


@pytest.mark.parametrize(
    ("section", "expected"), [({"default": "never"}, "BYPASS"), ({"enabled": False}, "BYPASS")]
)
async def test_the_configuration_decides_for_requests_without_a_policy(tmp_path, section, expected):
    async with cached(tmp_path, cache=section) as (served, _):
        use_embedder(served)
        assert [status(await embed(served, "a")) for _ in range(2)] == [expected] * 2


async def test_a_vector_is_served_until_its_time_is_over(served):
    seen = []

    async def after(seconds):
        policy = CachePolicy(mode=CachePolicy.MODE_USE)
        policy.ttl.FromMilliseconds(int(1000 * seconds))
        seen[:] = [status(await embed(served, "a", cache=policy)) for _ in range(2)]
        await asyncio.sleep(seconds + 0.1)
        return status(await embed(served, "a", cache=policy))

    assert await expired(after, lambda: seen == ["MISS", "HIT"]) == "MISS"


@pytest.mark.parametrize(
    ("policy", "field"), [(CachePolicy(mode=9), "cache.mode"), (CachePolicy(ttl=Duration()), "cache.ttl")]
)
async def test_an_invalid_policy_is_refused(served, policy, field):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await embed(served, "a", cache=policy)
    assert [each.field for each in remote_error(caught.value).violations] == [field]


@pytest.mark.parametrize(
    ("flush", "expected"),
    [
        (FlushCacheRequest(), "MISS"),
        (FlushCacheRequest(model="chat"), "MISS"),
        (FlushCacheRequest(tenant="default"), "MISS"),
        (FlushCacheRequest(model="b/m"), "HIT"),
        (FlushCacheRequest(tenant="somebody"), "HIT"),
    ],
)
async def test_a_flush_removes_vectors_as_well(served, flush, expected):
    await embed(served, "a", "abc")
    assert (await served.client.admin.FlushCache(flush)).entries == (2 if expected == "MISS" else 0)
    assert status(await embed(served, "a", "abc")) == expected


async def test_a_tenant_never_gets_the_vectors_of_another(tmp_path):
    keys = [
        {"id": each, "key": f"a-long-key-of-{each}-0123456789", "tenant": each} for each in ("ann", "bob")
    ]
    async with cached(tmp_path, auth={"keys": keys}) as (served, _):
        use_embedder(served)
        seen = [
            status(await embed(served, "a", metadata=(("x-api-key", each["key"]),)))
            for each in [*keys, *keys]
        ]
    assert seen == ["MISS", "MISS", "HIT", "HIT"]


async def test_a_bulk_of_texts_does_not_use_the_cache(served):
    assert status(await embed(served, *(f"{each}" for each in range(513)))) == "BYPASS"
    assert status(await embed(served, "x" * 2**20)) == "BYPASS"


async def test_an_error_stores_nothing_and_what_is_known_needs_no_backend(served):
    await embed(served, "a")
    served.embedder.failure = RateLimited("busy")
    with pytest.raises(grpc.aio.AioRpcError):
        await embed(served, "a", "abc")
    served.embedder.failure = RateLimited("busy")
    assert status(await embed(served, "a")) == "HIT"
    served.embedder.failure = None
    assert (await embed(served, "a", "abc")).cached_texts == 1


async def test_a_fallback_has_vectors_of_its_own(served):
    served.embedder.failure = RateLimited("busy")
    replies = [await embed(served, "a", model="both") for _ in range(2)]
    assert [(each.backend, status(each)) for each in replies] == [("b", "MISS"), ("a", "MISS")]


async def test_vectors_of_two_models_are_never_in_one_response(served):
    """The vendor has replaced the model behind its name: what was stored is sent again, once."""
    await embed(served, "a", "ab")
    served.embedder.model, served.embedder.vector = "v2", lambda text: [9.0, len(text)]
    reply = await embed(served, "a", "abc")
    assert vectors(reply) == [[9, 1], [9, 3]]
    assert (reply.model, reply.cached_texts) == ("v2", 0)
    assert reply.usage.input_tokens == 3, "both calls are paid for"
    assert served.embedder.seen[1:] == [["abc"], ["a", "abc"]]
    again = await embed(served, "a", "abc")
    assert (vectors(again), status(again)) == ([[9, 1], [9, 3]], "HIT")


async def test_what_came_back_before_a_failure_is_paid_for_once(served):
    """The vendor has replaced its model, and refuses the texts that are sent again."""

    class Counting(FakeEmbedder):
        """Notes what each request has cost so far, as Gemini's batches do."""

        async def embed(self, texts, model, dimensions):
            result = await super().embed(texts, model, dimensions)
            note_usage(result.usage)
            self.failure = RateLimited("busy") if self.model == "v2" else None
            return result

    await embed(served, "a", "ab")
    served.application._components.backends["a"].provider = Counting(model="v2")
    with pytest.raises(grpc.aio.AioRpcError):
        await embed(served, "a", "abc", "abcd")
    _, used = (await usage_of(served))["a/m"]
    assert used.input_tokens == 2 + 2


async def test_the_metrics_count_texts(served):
    await embed(served, "a", "ab")
    await embed(served, "a", "ab", "abc")
    counted = {
        result: served.host.metrics.registry.get_sample_value(
            "clawdbot_reply_cache_texts_total", {"backend": "a", "result": result}
        )
        for result in ("hit_memory", "hit_redis", "miss")
    }
    assert counted == {"hit_memory": 2, "hit_redis": 0, "miss": 3}


async def test_replicas_share_vectors_through_redis(tmp_path):
    with redis_server(tmp_path) as redis:
        cache = {"redis": redis.url}
        async with (
            cached(tmp_path / "one", cache=cache) as (one, _),
            cached(tmp_path / "two", cache=cache) as (two, _),
        ):
            embedders = [use_embedder(each) for each in (one, two)]
            await connected(one, two)
            texts = [f"{'x' * each} text" for each in range(1, 101)]
            await embed(one, *texts[:90])
            redis_of = replies_of(two)._shared._redis

            async def are_stored():
                return len(await redis_of.keys("*:reply:*")) == 90

            await until(are_stored)
            reply = await embed(two, *texts)
            assert (reply.cached_texts, reply.usage.input_tokens) == (90, 10)
            assert vectors(reply) == [lengths(each) for each in texts]
            assert [len(each.seen) for each in embedders] == [1, 1]
            redis.kill()
            assert status(await embed(two, *texts)) == "HIT", "the memory has them now"
            assert status(await embed(two, "new")) == "MISS"
