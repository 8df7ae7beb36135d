"""Limits as callers meet them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import grpc
import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest, EmbedRequest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from google.rpc import error_details_pb2, status_pb2

from tests.support.cached_gateway import BYPASS, RPCS, USE, ask, cached
from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks
from tests.support.scripted_provider import WAIT, FakeProvider, says

ECHO = {"provider": "echo"}
A_DOLLAR_PER_TOKEN = {"*": {"input": 1_000_000, "output": 1_000_000}}
KEYS = {"ann": ("acme", "a" * 30), "bob": ("acme", "b" * 30), "cy": ("other", "c" * 30)}


def auth() -> dict:
    return {"keys": [{"id": name, "tenant": tenant, "key": key} for name, (tenant, key) in KEYS.items()]}


async def outcome(served, request=None, *, key="", rpc="generate") -> str:
    """OK, or the reason of the error."""
    metadata = (("authorization", f"Bearer {KEYS[key][1]}"),) if key else ()
    try:
        await ask(served, request or asks(model="chat"), rpc, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return remote_error(error).reason
    return "OK"


async def refusal(served, request=None) -> tuple[RemoteError, grpc.aio.AioRpcError]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(served, request or asks(model="chat"))
    return remote_error(refused.value), refused.value


def bounded(tokens: int, text: str = "x", **fields):
    return asks(text, model="chat", sampling={"max_tokens": tokens}, **fields)


def used(tokens: int, *, output: int = 0) -> list:
    """A reply that used so many tokens."""
    usage = Usage(
        input_tokens=tokens - output,
        output_tokens=output,
        provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )
    *content, end = says("yes")
    return [*content, events.usage(usage), end]


@pytest.mark.parametrize("level", ["installation", "tenant", "key"])
@RPCS
async def test_more_requests_than_allowed_are_refused(tmp_path, level, rpc):
    async with gateway(tmp_path, model=ECHO, limits={level: {"requests": "2/month"}}) as served:
        assert [await outcome(served, rpc=rpc) for _ in range(3)] == ["OK", "OK", "LIMIT_REACHED"]


async def test_the_refusal_says_which_limit_and_when_it_resets(tmp_path):
    async with gateway(tmp_path, model=ECHO, limits={"tenant": {"requests": "1/hour"}}) as served:
        await ask(served, asks(model="chat"))
        error, raw = await refusal(served)
        left = 3600 - time.time() % 3600
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
    assert error.retry_after == pytest.approx(left, abs=20)
    assert error.quota_subject == "tenant:default"
    assert error.metadata == {"limit": "requests", "window": "hour"}
    assert "1 request per hour the tenant default has used" in error.message
    assert "UTC" in error.message
    details = status_pb2.Status.FromString(dict(raw.trailing_metadata())["grpc-status-details-bin"]).details
    quota = error_details_pb2.QuotaFailure()
    assert any(each.Unpack(quota) for each in details)
    assert quota.violations[0].description == error.message


async def test_a_hundred_callers_at_once_get_as_many_as_are_allowed(tmp_path):
    async with gateway(tmp_path, model=ECHO, limits={"tenant": {"requests": "1/month"}}) as served:
        results = await asyncio.gather(*[outcome(served) for _ in range(100)])
    assert sorted(results) == ["LIMIT_REACHED"] * 99 + ["OK"]


async def test_limits_are_each_tenants_and_each_keys_own(tmp_path):
    limits = {
        "installation": {"requests": "6/month"},
        "tenant": {"requests": "4/month"},
        "tenants": {"other": {"requests": "9/month"}},
        "key": {"requests": "3/month"},
        "keys": {"cy": {}},
    }
    async with gateway(tmp_path, model=ECHO, auth=auth(), limits=limits) as served:
        assert [await outcome(served, key="ann") for _ in range(4)] == ["OK"] * 3 + ["LIMIT_REACHED"]
        # One is left for the tenant, and two for the installation after that.
        assert [await outcome(served, key="bob") for _ in range(2)] == ["OK", "LIMIT_REACHED"]
        assert [await outcome(served, key="cy") for _ in range(3)] == ["OK", "OK", "LIMIT_REACHED"]


async def test_a_refused_request_uses_nothing_of_the_other_limits(tmp_path):
    limits = {"installation": {"requests": "2/month"}, "key": {"requests": "1/month"}}
    async with gateway(tmp_path, model=ECHO, auth=auth(), limits=limits) as served:
        assert [await outcome(served, key="ann") for _ in range(5)] == ["OK"] + ["LIMIT_REACHED"] * 4
        assert await outcome(served, key="bob") == "OK"


async def test_calls_at_the_same_time_are_limited_until_they_end(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *says("yes")[1:]]
    async with cached(tmp_path, script, limits={"key": {"concurrent": 2}}) as (served, backend):
        running = [asyncio.create_task(ask(served, asks(model="chat", cache=BYPASS))) for _ in range(2)]
        await until(lambda: len(backend.asked) == 2)
        error, _ = await refusal(served)
        assert (error.reason, error.retry_after) == ("LIMIT_REACHED", 1.0)
        assert "2 calls at the same time" in error.message
        gate.set()
        await asyncio.gather(*running)
        assert await outcome(served) == "OK"


async def received(stream, *, cancels: bool) -> list:
    """The events of a stream that is cancelled after the first one, or fails."""
    seen = []
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        async for event in stream:
            seen.append(event)
            if cancels:
                stream.cancel()
    return seen


@pytest.mark.parametrize("end", ["cancel", "deadline", "error"])
async def test_however_a_call_ends_it_ends_once(tmp_path, end):
    script = [events.started("m"), events.text_delta("one "), WAIT]
    if end == "error":
        script = [events.started("m"), events.text_delta("one "), BackendFailed("cut")]
    async with cached(tmp_path, script, limits={"key": {"concurrent": 1}}) as (served, _):
        buckets = served.application._components.accounting._store._buckets
        for _ in range(4):  # fewer than open the breaker
            stream = served.client.stream(asks(model="chat", cache=BYPASS), 0.3 if end == "deadline" else 20)
            assert await received(stream, cancels=end == "cancel"), "it was refused"
            await until(lambda: not buckets)


async def test_tokens_are_reserved_and_settled(tmp_path):
    limits = {"tenant": {"tokens": "1000/month"}}
    async with cached(tmp_path, used(100), used(890), limits=limits) as (served, _):
        # The first one reserves about 900 tokens and uses 100; so the second one has room.
        assert await outcome(served, bounded(900, cache=BYPASS)) == "OK"
        assert await outcome(served, bounded(800, cache=BYPASS)) == "OK"
        error, _ = await refusal(served, bounded(10, cache=BYPASS))
        assert error.metadata["limit"] == "tokens"
        assert error.retry_after > 0


async def test_tokens_of_running_calls_count_as_reserved(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *used(10)[1:]]
    async with cached(tmp_path, script, limits={"tenant": {"tokens": "1000/month"}}) as (served, backend):
        first = asyncio.create_task(ask(served, bounded(700, cache=BYPASS)))
        await until(lambda: backend.asked)
        assert await outcome(served, bounded(700, cache=BYPASS)) == "LIMIT_REACHED"
        gate.set()
        await first
        assert await outcome(served, bounded(700, cache=BYPASS)) == "OK"


async def test_what_running_calls_have_reserved_is_free_soon(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *used(10)[1:]]
    async with cached(tmp_path, script, **costly("1000/month")) as (served, backend):
        first = asyncio.create_task(ask(served, asks_a("x", 700)))
        await until(lambda: backend.asked)
        error, _ = await refusal(served, asks_a("x", 700))
        assert (error.reason, error.retry_after) == ("LIMIT_REACHED", 1.0)
        assert "has used $0, and running calls have reserved $7" in error.message
        gate.set()
        await first
        assert await outcome(served, asks_a("x", 700)) == "OK"
        error, _ = await refusal(served, asks_a("x", 985))
        assert error.reason == "BUDGET_SPENT"
        assert error.retry_after > 1.0


@pytest.mark.parametrize("limit", [{"cost": "50/day"}, {"tokens": "50/day"}])
async def test_calls_without_max_tokens_leave_room_for_others(tmp_path, limit):
    """One may use more than the whole limit, and nobody knows."""
    gate = asyncio.Event()
    script = [events.started("m"), gate, *used(6)[1:]]
    settings = {**costly("1000/day"), "limits": {"tenant": limit}}
    async with cached(tmp_path, script, **settings) as (served, backend):
        request = asks("x", model="a/m", cache=BYPASS)
        callers = [asyncio.create_task(outcome(served, request)) for _ in range(100)]
        await until(lambda: len(backend.asked) + sum(each.done() for each in callers) == 100)
        gate.set()
        results = await asyncio.gather(*callers)
        assert 5 <= results.count("OK") <= 10
        assert set(results) == {"OK", "LIMIT_REACHED"}


async def test_a_request_without_max_tokens_needs_no_more_than_there_is(tmp_path):
    limits = {"tenant": {"tokens": "100/month"}}
    async with cached(tmp_path, used(40), limits=limits) as (served, _):
        results = [await outcome(served, asks("x", model="chat", cache=BYPASS)) for _ in range(4)]
    assert results == ["OK", "OK", "OK", "LIMIT_REACHED"]


async def test_a_request_that_is_larger_than_the_limit_is_told_that_waiting_does_not_help(tmp_path):
    async with cached(tmp_path, limits={"tenant": {"tokens": "100/month"}}) as (served, _):
        error, _ = await refusal(served, bounded(5000))
    assert error.reason == "LIMIT_REACHED"
    assert error.retry_after is None
    assert "lower max_tokens" in error.message


def costly(limit: str, **limits) -> dict:
    backend = {"provider": "echo", "models": ["m"], "prices": A_DOLLAR_PER_TOKEN}
    return {
        "models": {"backends": {"a": backend, "b": ECHO}},
        "limits": {"tenant": {"cost": limit}, **limits},
    }


def asks_a(text: str, tokens: int):
    return asks(text, model="a/m", sampling={"max_tokens": tokens}, cache=BYPASS)


async def test_a_budget_that_is_spent_stops_calls(tmp_path):
    async with cached(tmp_path, used(60, output=10), **costly("100/day; 1000/month")) as (served, _):
        request = asks("x", model="a/m", cache=BYPASS)
        assert [await outcome(served, request) for _ in range(3)] == ["OK", "OK", "BUDGET_SPENT"]
        error, _ = await refusal(served, request)
        assert error.metadata == {"limit": "cost", "window": "day"}
        assert "$100 per day" in error.message
        assert "$120" in error.message
        assert error.retry_after > 0
        # A model that costs nothing spends nothing.
        assert await outcome(served, asks("x", model="b/echo", cache=BYPASS)) == "OK"


async def test_a_broken_off_stream_spends_what_is_known(tmp_path):
    script = [events.started("m"), events.text_delta("one two three"), BackendFailed("cut")]
    async with cached(tmp_path, script, **costly("10/month")) as (served, _):
        request = asks("x", model="a/m", cache=BYPASS)
        results = [await outcome(served, request, rpc="stream") for _ in range(6)]
    assert results[0] == "BACKEND_FAILED"
    assert results[-1] == "BUDGET_SPENT"


async def test_a_cached_reply_spends_no_money_and_no_tokens_and_is_a_request(tmp_path):
    limits = {"key": {"requests": "4/month", "tokens": "170/month"}}
    async with cached(tmp_path, used(60), **costly("150/month", **limits)) as (served, _):
        results = [await outcome(served, asks("x", model="a/m", cache=USE)) for _ in range(5)]
    assert results == ["OK"] * 4 + ["LIMIT_REACHED"]


async def test_fallbacks_count_as_one_request_with_all_its_tokens(tmp_path):
    failing = [events.started("m"), used(40)[-2], BackendFailed("cut")]
    limits = {"tenant": {"requests": "2/month", "tokens": "200/month"}}
    async with cached(tmp_path, failing, b=FakeProvider(used(70)), limits=limits) as (served, _):
        request = asks("x", model="both", cache=BYPASS)
        results = [await outcome(served, request, rpc="stream") for _ in range(3)]
    assert results == ["OK", "OK", "LIMIT_REACHED"]


async def test_a_model_has_limits_of_its_own_by_alias_and_by_target(tmp_path):
    limits = {"tenant": {"models": {"chat": {"requests": "1/month"}, "b/m": {"requests": "1/month"}}}}
    async with cached(tmp_path, limits=limits) as (served, _):
        assert [await outcome(served, asks(str(n), model="chat")) for n in range(2)] == [
            "OK",
            "LIMIT_REACHED",
        ]
        assert [await outcome(served, asks(str(n), model="a/m")) for n in range(3)] == ["OK"] * 3
        assert [await outcome(served, asks(str(n), model="b/m")) for n in range(2)] == ["OK", "LIMIT_REACHED"]


@pytest.mark.parametrize("limited", ["chat", "default"])
async def test_a_limit_of_chat_or_default_is_one_for_all_their_names(tmp_path, limited):
    limits = {"tenant": {"models": {limited: {"requests": "2/month"}}}}
    async with gateway(tmp_path, model=ECHO, limits=limits) as served:
        results = [await outcome(served, asks(model=name)) for name in ("", "chat", "default", "", "chat")]
    assert results == ["OK", "OK"] + ["LIMIT_REACHED"] * 3


async def test_an_alias_default_of_its_own_has_a_limit_of_its_own(tmp_path):
    models = {"backends": {"a": ECHO}, "aliases": {"chat": "a/echo", "default": "a/echo"}}
    limits = {"tenant": {"models": {"default": {"requests": "1/month"}}}}
    async with gateway(tmp_path, models=models, limits=limits) as served:
        results = [await outcome(served, asks(model=name)) for name in ("default", "", "chat", "chat")]
    assert results == ["OK", "LIMIT_REACHED", "OK", "OK"]


async def test_a_target_whose_limit_is_reached_gives_way_to_the_next(tmp_path):
    limits = {"tenant": {"models": {"a/m": {"requests": "1/month"}, "b/m": {"requests": "2/month"}}}}
    async with cached(tmp_path, limits=limits) as (served, _):
        replies = [await ask(served, asks(str(n), model="both", cache=BYPASS)) for n in range(3)]
        assert [each.backend for each in replies] == ["a", "b", "b"]
        assert await outcome(served, asks(model="both", cache=BYPASS)) == "LIMIT_REACHED"


async def test_a_target_that_was_not_asked_is_not_charged(tmp_path):
    limits = {"tenant": {"models": {"b/m": {"requests": "1/month"}}}}
    async with cached(tmp_path, limits=limits) as (served, _):
        for _ in range(3):
            await ask(served, asks(model="both", cache=BYPASS))
        assert await outcome(served, asks(model="b/m", cache=BYPASS)) == "OK"


async def test_the_first_model_that_a_backend_lists_has_the_limit_of_its_name(tmp_path):
    limits = {"installation": {"models": {"echo/echo": {"requests": "1/month"}}}}
    async with gateway(tmp_path, model=ECHO, limits=limits) as served:
        assert [await outcome(served) for _ in range(2)] == ["OK", "LIMIT_REACHED"]
        assert await outcome(served, asks(model="echo/echo")) == "LIMIT_REACHED"


async def test_embeddings_are_limited_and_token_counts_are_not(tmp_path):
    limits = {"tenant": {"requests": "2/month", "tokens": "100/month"}}
    async with gateway(tmp_path, model=ECHO, limits=limits) as served:
        embed = served.client.gateway.Embed
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await embed(EmbedRequest(texts=["word " * 1000]))
        assert remote_error(refused.value).metadata["limit"] == "tokens"
        for _ in range(2):
            await embed(EmbedRequest(texts=["one"]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await embed(EmbedRequest(texts=["one"]))
        assert remote_error(refused.value).reason == "LIMIT_REACHED"
        await served.client.gateway.CountTokens(CountTokensRequest(text="one"))


async def test_a_limit_of_nothing_allows_nothing(tmp_path):
    limits = {"tenants": {"acme": {"concurrent": 0}}}
    async with gateway(tmp_path, model=ECHO, auth=auth(), limits=limits) as served:
        with pytest.raises(grpc.aio.AioRpcError, match="The tenant acme may not make calls") as refused:
            await ask(served, asks(model="chat"), metadata=(("authorization", f"Bearer {KEYS['ann'][1]}"),))
        fault = remote_error(refused.value)
        assert (fault.reason, fault.retry_after) == ("LIMIT_REACHED", None)
        assert await outcome(served, key="cy") == "OK"


async def test_what_was_used_outlives_a_restart(tmp_path):
    limits = {"tenant": {"requests": "2/month"}}
    for expected in ("OK", "OK", "LIMIT_REACHED"):
        async with gateway(tmp_path, model=ECHO, limits=limits) as served:
            assert await outcome(served) == expected


async def test_a_limit_that_is_almost_reached_is_logged_once(tmp_path, capsys):
    async with gateway(tmp_path, model=ECHO, limits={"tenant": {"requests": "5/month"}}) as served:
        for number in range(5):
            await ask(served, asks(model="chat"))
            assert capsys.readouterr().out.count("limit_almost_reached") == (number == 3)


async def test_refusals_and_alerts_are_metrics(tmp_path):
    async with gateway(tmp_path, model=ECHO, limits={"tenant": {"requests": "2/month"}}) as served:
        for _ in range(4):
            await outcome(served)
        labels = {"per": "tenant", "limit": "requests", "tenant": "default"}
        assert served.metric("clawdbot_limit_refusals_total", **labels) == 2
        assert served.metric("clawdbot_limit_alerts_total", **labels) == 1
