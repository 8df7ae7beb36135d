"""Cached replies as callers see them, with a backend that counts its requests."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import (
    CachePolicy,
    CacheStatus,
    Priority,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2 import FlushCacheRequest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import RateLimited
from clawdbot_servicekit.error_table import remote_error
from google.protobuf.duration_pb2 import Duration

from tests.support.cached_gateway import (
    BYPASS,
    CACHED,
    REFRESH,
    REPORTED,
    RPCS,
    USE,
    ask,
    cached,
    costs,
    status,
    text,
)
from tests.support.conditions import until
from tests.support.deadlines import expired
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks
from tests.support.scripted_provider import FakeProvider, says

# Which requests use it


@RPCS
@pytest.mark.parametrize("later", ["stream", "generate"])
async def test_an_equal_request_gets_the_reply_of_the_first(tmp_path, rpc, later):
    async with cached(tmp_path, costs("yes", " sir")) as (served, backend):
        first = await ask(served, rpc=rpc)
        second = await ask(served, rpc=later)
    assert (status(first), status(second)) == ("MISS", "HIT")
    assert len(backend.asked) == 1
    assert (first.usage, second.usage) == (REPORTED, CACHED)
    for reply in (first, second):
        reply.ClearField("usage")
        reply.ClearField("cache_status")
    assert first == second


@RPCS
@pytest.mark.parametrize("missing", ["input_tokens", "output_tokens", "all"])
async def test_a_count_that_the_backend_left_out_is_the_same_estimate_from_the_cache(tmp_path, rpc, missing):
    *content, end = says("one two", " three")
    reported = Usage(input_tokens=9, output_tokens=4, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED)
    if missing != "all":
        reported.ClearField(missing)
        content.append(events.usage(reported))
    async with cached(tmp_path, [*content, end]) as (served, _):
        first = (await ask(served, rpc=rpc)).usage
        second = (await ask(served, rpc=rpc)).usage
    assert first.input_tokens > 0 < first.output_tokens
    first.provenance = UsageProvenance.USAGE_PROVENANCE_CACHED
    assert second == first


async def test_a_stream_is_replayed_event_by_event(tmp_path):
    call = ToolCall(id="c", name="clock.now")
    script = [
        events.started("m"),
        events.reasoning_delta("hm", signature=b"s"),
        events.text_delta("yes"),
        events.text_delta(" sir"),
        events.tool_call_started(0, "c", "clock.now"),
        events.tool_call_delta(0, "{}"),
        events.tool_call_done(0, call),
        events.usage(REPORTED),
        events.finished(FinishReason.FINISH_REASON_TOOL_CALLS, "tool_use"),
    ]
    async with cached(tmp_path, script) as (served, _):
        first = await served.client.events(asks(model="chat", cache=USE))
        second = await served.client.events(asks(model="chat", cache=USE))
    assert second[0].started.cache_status == CacheStatus.CACHE_STATUS_HIT
    assert (second[0].started.backend, second[0].started.attempt) == ("a", 1)
    assert second[-2].usage == CACHED
    assert second[1:-2] == first[1:-2] == script[1:-2]
    assert second[-1] == first[-1]


@pytest.mark.parametrize(
    ("default", "sampling", "options", "expected"),
    [
        (None, None, None, "BYPASS"),
        (None, {"temperature": 0.0}, None, "HIT"),
        (None, {"temperature": 0.7}, None, "BYPASS"),
        (None, {"temperature": 0.0}, {"tools": "web_search"}, "BYPASS"),
        ("never", {"temperature": 0.0}, None, "BYPASS"),
        ("always", {"temperature": 0.7}, None, "HIT"),
    ],
)
async def test_the_configuration_decides_for_requests_without_a_policy(
    tmp_path, default, sampling, options, expected
):
    request = asks(model="chat", sampling=sampling)
    if options:
        request.provider_options.update(options)
    async with cached(tmp_path, cache={"default": default} if default else None) as (served, backend):
        await ask(served, request)
        reply = await ask(served, request)
    assert status(reply) == expected
    assert len(backend.asked) == (1 if expected == "HIT" else 2)


async def test_a_policy_overrides_the_configuration(tmp_path):
    async with cached(tmp_path, says("one"), says("two"), says("three")) as (served, backend):
        zero = {"temperature": 0.0}
        assert status(await ask(served, asks(model="chat", sampling=zero, cache=BYPASS))) == "BYPASS"
        assert status(await ask(served, asks(model="chat", sampling=zero))) == "MISS"
        assert text(await ask(served, asks(model="chat", sampling=zero))) == "two"
        assert status(await ask(served, asks(model="chat", sampling=zero, cache=REFRESH))) == "MISS"
        assert text(await ask(served, asks(model="chat", sampling=zero))) == "three"
    assert len(backend.asked) == 3


async def test_the_temperature_of_the_backends_settings_counts(tmp_path):
    model = {"provider": "scripted", "replies": [{"text": "yes"}], "temperature": 0}
    async with gateway(tmp_path, model=model) as served:
        assert [status(await ask(served, asks())) for _ in range(2)] == ["MISS", "HIT"]
        assert status(await ask(served, asks(sampling={"temperature": 1.0}))) == "BYPASS"


async def test_a_cache_that_is_off_bypasses_everything(tmp_path):
    async with cached(tmp_path, cache={"enabled": False}) as (served, backend):
        assert [status(await ask(served)) for _ in range(2)] == ["BYPASS", "BYPASS"]
        assert (await served.client.admin.FlushCache(FlushCacheRequest())).entries == 0
    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (CachePolicy(mode=9), "cache.mode"),
        (CachePolicy(ttl=Duration()), "cache.ttl"),
        (CachePolicy(ttl=Duration(seconds=-1)), "cache.ttl"),
    ],
)
async def test_an_invalid_policy_is_refused(tmp_path, policy, field):
    async with cached(tmp_path) as (served, _):
        fault = await served.client.fault(asks(model="chat", cache=policy))
    assert [each.field for each in fault.violations] == [field]


@pytest.mark.parametrize("cache", [None, {"enabled": False}])
@pytest.mark.parametrize(
    "policy", [USE, REFRESH, CachePolicy(mode=2, ttl=Duration(seconds=5), semantic=True)]
)
async def test_a_strict_request_may_have_a_policy(tmp_path, cache, policy):
    """It allows to use a cache, and demands nothing of a backend."""
    section = {"gateway": {"cache": cache}} if cache else {}
    async with gateway(tmp_path, model={"provider": "echo"}, **section) as served:
        reply = await ask(served, asks(cache=policy, strict=True))
    assert not reply.warnings


async def test_what_is_not_part_of_the_key_does_not_matter(tmp_path):
    async with cached(tmp_path) as (served, _):
        await ask(served)
        same = asks(
            model="a/m",
            cache=USE,
            metadata={"session_id": "s"},
            request_id="r",
            priority=Priority.PRIORITY_BATCH,
        )
        assert status(await ask(served, same)) == "HIT"
        assert status(await ask(served, asks(model="a/n", cache=USE))) == "MISS"
        assert status(await ask(served, asks("Good morning", model="chat", cache=USE))) == "MISS"


async def test_a_tenant_never_gets_the_reply_of_another(tmp_path):
    keys = [
        {"id": name, "key": f"a-long-key-of-{name}-0123456789", "tenant": name} for name in ("ann", "bob")
    ]
    async with cached(tmp_path, auth={"keys": keys}) as (served, backend):
        seen = []
        for each in [*keys, *keys]:
            reply = await ask(served, metadata=(("x-api-key", each["key"]),))
            seen.append(status(reply))
    assert seen == ["MISS", "MISS", "HIT", "HIT"]
    assert len(backend.asked) == 2


# What is stored


@pytest.mark.parametrize("reason", [each for each in FinishReason.values() if each])
async def test_only_whole_replies_are_stored(tmp_path, reason):
    script = [events.started("m"), events.text_delta("well"), events.finished(reason)]
    async with cached(tmp_path, script) as (served, _):
        await ask(served)
        again = status(await ask(served))
    stored = {FinishReason.FINISH_REASON_STOP, FinishReason.FINISH_REASON_TOOL_CALLS}
    assert again == ("HIT" if reason in stored else "MISS")


async def test_errors_are_not_stored(tmp_path):
    async with cached(tmp_path, [RateLimited("x")], says("yes")) as (served, _):
        assert (await served.client.fault(asks(model="chat", cache=USE))).reason == "BACKEND_RATE_LIMITED"
        assert status(await ask(served)) == "MISS"


async def test_a_reply_is_served_until_its_time_is_over(tmp_path):
    seen = []
    async with cached(tmp_path) as (served, _):

        async def after(seconds):
            policy = CachePolicy(mode=CachePolicy.MODE_USE)
            policy.ttl.FromMilliseconds(int(1000 * seconds))
            request = asks(model="chat", cache=policy)
            seen[:] = [status(await ask(served, request)) for _ in range(2)]
            await asyncio.sleep(seconds + 0.1)
            return status(await ask(served, request))

        assert await expired(after, lambda: seen == ["MISS", "HIT"]) == "MISS"


async def test_a_request_cannot_ask_for_more_time_than_is_configured(tmp_path):
    policy = CachePolicy(mode=CachePolicy.MODE_USE, ttl=Duration(seconds=3600))
    async with cached(tmp_path, cache={"max_ttl": "300ms"}) as (served, _):
        await ask(served, asks(model="chat", cache=policy))
        await asyncio.sleep(0.4)
        assert status(await ask(served, asks(model="chat", cache=policy))) == "MISS"


async def test_a_fallback_has_a_key_of_its_own(tmp_path):
    b = FakeProvider(says("from b"))
    async with cached(tmp_path, [RateLimited("x")], b=b) as (served, backend):
        request = asks(model="both", cache=USE)
        replies = [await ask(served, request) for _ in range(2)]
    assert [status(each) for each in replies] == ["MISS", "HIT"]
    assert {(text(each), each.backend) for each in replies} == {("from b", "b")}
    assert (len(backend.asked), len(b.asked)) == (2, 1)


# Flush


@pytest.mark.parametrize(
    ("flush", "left"),
    [
        (FlushCacheRequest(), set()),
        (FlushCacheRequest(model="chat"), {"a/n", "b/m"}),
        (FlushCacheRequest(model="a/n"), {"a/m", "b/m"}),
        (FlushCacheRequest(model="both"), {"a/n"}),
        (FlushCacheRequest(tenant="default"), set()),
        (FlushCacheRequest(tenant="default", model="b/m"), {"a/m", "a/n"}),
        (FlushCacheRequest(tenant="somebody"), {"a/m", "a/n", "b/m"}),
    ],
)
async def test_a_flush_removes_what_it_names(tmp_path, flush, left):
    async with cached(tmp_path) as (served, _):
        models = ("a/m", "a/n", "b/m")
        for each in models:
            await ask(served, asks(model=each, cache=USE))
        removed = (await served.client.admin.FlushCache(flush)).entries
        found = {each for each in models if status(await ask(served, asks(model=each, cache=USE))) == "HIT"}
    assert found == left
    assert removed == 3 - len(left)


async def test_a_flush_of_an_unknown_model_is_refused(tmp_path):
    async with cached(tmp_path) as (served, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.client.admin.FlushCache(FlushCacheRequest(model="nobody/m"))
    assert remote_error(caught.value).reason == "MODEL_NOT_FOUND"


async def test_a_reply_that_is_being_generated_is_not_stored_after_a_flush(tmp_path):
    gate = asyncio.Event()
    old = [events.started("m"), gate, *says("old")[1:]]
    async with cached(tmp_path, old, says("new")) as (served, backend):
        first = asyncio.create_task(ask(served))
        await until(lambda: len(backend.asked) == 1)
        await served.client.admin.FlushCache(FlushCacheRequest())
        assert text(await ask(served)) == "new", "nobody joins a call from before"
        gate.set()
        assert text(await first) == "old"
        assert text(await ask(served)) == "new"
    assert len(backend.asked) == 2


async def test_the_metrics_say_what_the_cache_did(tmp_path):
    async with cached(tmp_path) as (served, _):
        await ask(served)
        await ask(served)
        found = served.host.metrics.registry.get_sample_value(
            "clawdbot_reply_cache_requests_total", {"backend": "a", "result": "hit_memory"}
        )
        entries = served.host.metrics.registry.get_sample_value("clawdbot_reply_cache_entries")
    assert (found, entries) == (1, 1)
