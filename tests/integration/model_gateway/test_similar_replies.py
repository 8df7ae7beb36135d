"""Replies to requests that mean the same: who gets them, which model may find them, and what fails."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import asynccontextmanager

import pytest
from clawdbot.common.v1.message_pb2 import Message, Part, Role
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest
from clawdbot_model_gateway.core.errors import BackendFailed
from clawdbot_model_gateway.core.reply_cache.similar_requests import near_misses
from clawdbot_model_gateway.core.reply_cache.wording import may_mean_the_same, wording
from google.protobuf.duration_pb2 import Duration
from pydantic import ValidationError
from structlog.testing import capture_logs

from tests.support.cached_gateway import CACHED, USE, ask, cached, costs, followers, replies_of, status, text
from tests.support.conditions import until
from tests.support.fake_embedder import FakeEmbedder
from tests.support.generate_requests import asks
from tests.support.priced_gateway import usage_of
from tests.support.scripted_provider import says

SIMILAR = CachePolicy(mode=CachePolicy.MODE_USE, semantic=True)
SETTINGS = {"model": "b/m", "tenants": ["default"], "threshold": 0.9, "timeout": "10s"}
AGE = "How old is the universe?"
SAME = "What is the age of the universe?"
OTHER = "How far away is the moon?"


def direction(seed: str) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0, 1) for _ in range(64)]


def meaning(said: str) -> list[float]:
    """Each text has a direction of its own, but for two."""
    return [2 * each for each in direction(AGE)] if said == SAME else direction(said)


@asynccontextmanager
async def semantic(tmp_path, *scripts, vector=meaning, settings=(), embedder=None, cache=(), **sections):
    """A gateway whose backend b embeds; it has measured the model."""
    section = {"semantic": {**SETTINGS, **dict(settings)}, **dict(cache)}
    embedder = embedder or FakeEmbedder(vector)
    async with cached(tmp_path, *scripts, b=embedder, cache=section, **sections) as (served, backend):
        served.embedder = embedder
        similar = replies_of(served).similar
        # It has begun with the provider that the settings name.
        await similar.stop()
        embedder.seen.clear()
        with capture_logs() as served.logs:
            similar.start()
            await until(lambda: any(each["event"].startswith("semantic_cache") for each in served.logs))
        embedder.seen.clear()
        yield served, backend


def says_so(said: str, policy: CachePolicy = SIMILAR, **fields):
    return asks(said, model=fields.pop("model", "chat"), cache=policy, **fields)


async def outcome(served, *requests) -> list[str]:
    return [status(await ask(served, each)) for each in requests]


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_request_that_means_the_same_gets_the_reply(tmp_path, rpc):
    async with semantic(tmp_path, costs("13.8", " billion")) as (served, backend):
        first = await ask(served, says_so(AGE), rpc)
        second = await ask(served, says_so(SAME), rpc)
        found = served.host.metrics.registry.get_sample_value(
            "clawdbot_reply_cache_requests_total", {"backend": "a", "result": "hit_similar"}
        )
        assert served.idle
    assert (status(first), status(second)) == ("MISS", "SIMILAR")
    assert text(second) == "13.8 billion"
    assert second.usage == CACHED
    assert len(backend.asked) == 1
    assert found == 1


async def test_a_similar_reply_is_not_stored_for_the_other_words(tmp_path):
    """Who does not allow it never gets it, not even later."""
    async with semantic(tmp_path) as (served, _):
        assert await outcome(served, says_so(AGE), says_so(SAME)) == ["MISS", "SIMILAR"]
        assert await outcome(served, says_so(SAME, USE), says_so(SAME)) == ["MISS", "HIT"]


async def test_another_meaning_is_a_miss(tmp_path):
    async with semantic(tmp_path) as (served, _):
        assert await outcome(served, says_so(AGE), says_so(OTHER), says_so(OTHER)) == ["MISS", "MISS", "HIT"]


async def test_variants_of_a_sentence_are_a_miss_whatever_the_model_says(tmp_path):
    variants = [each for each in near_misses() if not may_mean_the_same(*map(wording, each))]
    async with semantic(tmp_path) as (served, _):
        served.embedder.vector = lambda said: [1.0, 0.0]
        for number, (one, other) in enumerate(variants[::4]):
            place = {"seed": number}
            requests = says_so(one, sampling=place), says_so(other, sampling=place)
            assert await outcome(served, *requests) == ["MISS", "MISS"], (one, other)


@pytest.mark.parametrize(
    "second",
    [
        says_so(SAME, USE),
        says_so(SAME, CachePolicy(mode=CachePolicy.MODE_BYPASS, semantic=True)),
        says_so(SAME, CachePolicy(mode=CachePolicy.MODE_REFRESH, semantic=True)),
        says_so(SAME, sampling={"temperature": 0.5}),
        says_so(SAME, sampling={"max_tokens": 5}),
        says_so(SAME, model="a/n"),
        says_so(SAME, tools=[ToolSpec(name="clock.now")]),
        says_so(SAME, strict=True),
    ],
)
async def test_who_does_not_allow_it_or_differs_in_more_does_not_get_it(tmp_path, second):
    async with semantic(tmp_path) as (served, _):
        statuses = await outcome(served, says_so(AGE), second)
    assert statuses[0] == "MISS"
    assert statuses[1] in {"MISS", "BYPASS"}


async def test_what_was_said_before_has_to_be_equal(tmp_path):
    def after(before: str, last: str):
        request = says_so(before)
        request.messages.append(Message(role=Role.ROLE_ASSISTANT, parts=[Part(text="Yes.")]))
        request.messages.append(Message(role=Role.ROLE_USER, parts=[Part(text=last)]))
        return request

    async with semantic(tmp_path) as (served, _):
        assert await outcome(served, after("Hello", AGE), says_so(SAME)) == ["MISS", "MISS"]
        assert await outcome(served, after("Hi", SAME), after("Hello", SAME)) == ["MISS", "SIMILAR"]


async def test_only_a_short_last_text_of_a_person_is_compared(tmp_path):
    two, model, long = says_so(SAME), says_so(SAME), says_so(SAME + " " + "x" * 500)
    two.messages[-1].parts.append(Part(text="!"))
    model.messages[-1].role = Role.ROLE_ASSISTANT
    async with semantic(tmp_path, vector=lambda said: meaning(AGE if "age" in said else said)) as (served, _):
        await ask(served, says_so(AGE))
        assert await outcome(served, two, model, long) == ["MISS"] * 3
        assert len(served.embedder.seen) == 1


async def test_only_tenants_that_are_named_get_it_and_each_its_own(tmp_path):
    keys = [
        {"id": name, "key": f"a-long-key-of-{name}-0123456789", "tenant": name}
        for name in ("ann", "bob", "eve")
    ]
    settings = {"tenants": ["ann", "bob"]}
    async with semantic(tmp_path, settings=settings, auth={"keys": keys}) as (served, _):
        seen = {}
        for each in keys:
            metadata = (("x-api-key", each["key"]),)
            seen[each["id"]] = [
                status(await ask(served, says_so(said), metadata=metadata)) for said in (AGE, SAME)
            ]
    assert seen == {"ann": ["MISS", "SIMILAR"], "bob": ["MISS", "SIMILAR"], "eve": ["MISS", "MISS"]}


async def test_all_tenants_can_be_named(tmp_path):
    async with semantic(tmp_path, settings={"tenants": ["*"]}) as (served, _):
        assert await outcome(served, says_so(AGE), says_so(SAME)) == ["MISS", "SIMILAR"]


async def test_it_is_off_by_default(tmp_path):
    async with cached(tmp_path, b=FakeEmbedder(meaning)) as (served, _):
        assert await outcome(served, says_so(AGE), says_so(SAME)) == ["MISS", "MISS"]
        assert replies_of(served).similar is None


@pytest.mark.parametrize("flush", [FlushCacheRequest(), FlushCacheRequest(model="chat")])
async def test_a_flush_holds(tmp_path, flush):
    async with semantic(tmp_path) as (served, _):
        await ask(served, says_so(AGE))
        await served.client.admin.FlushCache(flush)
        assert await outcome(served, says_so(SAME)) == ["MISS"]


async def test_the_time_of_the_reply_holds(tmp_path):
    policy = CachePolicy(mode=CachePolicy.MODE_USE, semantic=True, ttl=Duration(nanos=500_000_000))
    async with semantic(tmp_path) as (served, _):
        await ask(served, says_so(AGE, policy))
        await asyncio.sleep(0.6)
        assert await outcome(served, says_so(SAME)) == ["MISS"]


async def test_its_memory_is_bounded(tmp_path):
    async with semantic(tmp_path, settings={"max_entries": 2}) as (served, _):
        await outcome(served, says_so(AGE), says_so(OTHER), says_so("Why is the sky blue?"))
        similar = replies_of(served).similar
        assert len(similar._entries) == sum(map(len, similar._places.values())) == 2
        assert await outcome(served, says_so(SAME)) == ["MISS"], "the oldest was forgotten"


@pytest.mark.parametrize(
    "vector",
    [lambda said: [1.0, 0.0], lambda said: [1.0, len(said) / 1000], lambda said: direction(said[:4])],
    ids=["always the same", "much alike", "by the first word"],
)
async def test_a_model_that_takes_near_misses_for_the_same_is_refused(tmp_path, vector):
    async with semantic(tmp_path, vector=vector) as (served, _):
        (refusal,) = served.logs
        assert (refusal["event"], refusal["log_level"]) == ("semantic_cache_refused", "error")
        assert float(refusal["false_hits"].removesuffix("%")) > 1.0
        assert refusal["pairs"] >= 200
        assert await outcome(served, says_so(AGE), says_so(SAME)) == ["MISS", "MISS"]
        assert served.embedder.seen == []


async def test_a_model_that_passes_is_reported_with_its_rate(tmp_path):
    async with semantic(tmp_path) as (served, _):
        (report,) = served.logs
    assert (report["event"], report["false_hits"]) == ("semantic_cache_on", "0.0%")


class _Failing(FakeEmbedder):
    """Fails while it is measured, the first time."""

    def __init__(self) -> None:
        super().__init__(meaning)
        self.failure = BackendFailed("not yet")


async def test_a_backend_that_is_not_up_yet_is_measured_later(tmp_path, monkeypatch):
    monkeypatch.setattr("clawdbot_model_gateway.core.reply_cache.similar_requests.RETRY_INTERVAL", 0.05)
    async with semantic(tmp_path, embedder=_Failing()) as (served, _):
        assert "semantic_cache_waits" in {each["event"] for each in served.logs}
        await until(lambda: replies_of(served).similar._measured)
        assert await outcome(served, says_so(AGE), says_so(SAME)) == ["MISS", "SIMILAR"]


@pytest.mark.parametrize("broken", ["fails", "nan", "zeros", "other model", "slow"])
async def test_embeddings_that_fail_cost_a_miss(tmp_path, broken):
    settings = {"timeout": "200ms"} if broken == "slow" else {}
    async with semantic(tmp_path, settings=settings) as (served, backend):
        await ask(served, says_so(AGE))
        embedder = served.embedder
        if broken == "fails":
            embedder.failure = BackendFailed("x")
        elif broken == "other model":
            embedder.model = "v2"
        elif broken == "slow":

            async def never(*arguments):
                await asyncio.Event().wait()

            embedder.embed = never
        else:
            embedder.vector = lambda said: [math.nan if broken == "nan" else 0.0] * 64
        assert await outcome(served, says_so(SAME), says_so(SAME)) == ["MISS", "HIT"]
        assert served.idle
    assert len(backend.asked) == 2


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_one_that_leaves_while_its_text_is_embedded_leaves_nothing_behind(tmp_path, rpc):
    async with semantic(tmp_path) as (served, backend):
        begun, ended = asyncio.Event(), asyncio.Event()

        async def never(*arguments):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        served.embedder.embed = never
        call = asyncio.create_task(ask(served, says_so(AGE), rpc))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        await until(lambda: ended.is_set() and served.idle and not replies_of(served)._flights)
    assert backend.asked == []


async def test_who_does_not_allow_it_does_not_join_one_who_does(tmp_path):
    gate = asyncio.Event()
    async with semantic(tmp_path, [says("x")[0], gate, *says("x")[1:]]) as (served, backend):
        allows = [asyncio.create_task(ask(served, says_so(AGE))) for _ in range(3)]
        await until(lambda: followers(served) == 3)
        refuses = asyncio.create_task(ask(served, says_so(AGE, USE)))
        await until(lambda: len(backend.asked) == 2)
        gate.set()
        statuses = sorted([status(await each) for each in allows])
        assert statuses == ["COALESCED", "COALESCED", "MISS"]
        assert status(await refuses) == "MISS"
    assert len(served.embedder.seen) == 1, "equal requests share the embedding as well"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"tenants": []}, "tenants"),
        ({"threshold": 1.5}, "threshold"),
        ({"model": ""}, "model"),
        ({"timeout": 0}, "timeout"),
        ({"typo": 1}, "typo"),
    ],
)
async def test_invalid_settings_are_refused(tmp_path, settings, field):
    with pytest.raises((ValidationError, ValueError), match=field):
        async with semantic(tmp_path, settings=settings):
            pass


async def test_measuring_the_model_is_in_no_tenants_usage_and_limits(tmp_path):
    limits = {"tenant": {"requests": "1/month"}, "key": {"requests": "1/month"}}
    async with semantic(tmp_path, limits=limits) as (served, _):
        assert [each["event"] for each in served.logs if each["event"].startswith("semantic")] == [
            "semantic_cache_on"
        ]
        usage = await usage_of(served, "TENANT", "MODEL")
    assert {name.partition("/")[0] for name in usage} == {"b"}
    assert sum(used.input_tokens for _, used in usage.values()) > 0
