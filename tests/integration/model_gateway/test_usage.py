"""What calls used and cost, as GetUsage has it."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc.aio
import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest, UsageDimension
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed
from clawdbot_model_gateway.core.limits import accounting
from clawdbot_model_gateway.core.limits.usage_ledger import UsageQuery
from clawdbot_model_gateway.stores.sqlite.usage_ledger import SqliteUsageLedger
from clawdbot_servicekit.error_table import remote_error

from tests.support.cached_gateway import BYPASS, USE, ask, cached, costs
from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks
from tests.support.priced_gateway import priced, usage_of
from tests.support.processes import process
from tests.support.scripted_provider import FakeProvider, says

REPORTED = UsageProvenance.USAGE_PROVENANCE_REPORTED
ALL_KINDS = Usage(
    input_tokens=1000,
    cached_tokens=200,
    cache_write_tokens=100,
    output_tokens=500,
    reasoning_tokens=300,
    provenance=REPORTED,
)
COST = 700 * 3 + 200 * 0.3 + 100 * 3.75 + 200 * 15 + 300 * 10
"""Of all kinds, at PRICE."""


def reports(usage: Usage, *pieces: str) -> list:
    *content, end = says(*(pieces or ("yes",)))
    return [*content, events.usage(usage), end]


@pytest.mark.parametrize("rpc", ["stream", "generate"])
async def test_each_kind_of_token_has_its_price(tmp_path, rpc):
    async with priced(tmp_path, reports(ALL_KINDS)) as (served, _):
        reply = await ask(served, asks(model="chat"), rpc)
        assert reply.usage.cost_micros == round(COST)
        requests, used = (await usage_of(served))["a/m"]
    assert requests == 1
    assert (used.cost_micros, used.input_tokens, used.reasoning_tokens) == (round(COST), 1000, 300)


async def test_a_price_stands_for_all_models_that_have_none_and_a_cost_is_never_rounded_to_nothing(tmp_path):
    one = Usage(input_tokens=1, output_tokens=3, provenance=REPORTED)
    async with priced(tmp_path, reports(one), b=FakeProvider(reports(one))) as (served, _):
        assert (await ask(served, asks(model="a/n"))).usage.cost_micros == 3
        assert (await ask(served, asks(model="b/m"))).usage.cost_micros == 1


@pytest.mark.parametrize(
    ("audio", "price", "cost"),
    [
        (0, 100, 10 * 1 + 10 * 2),
        (4, None, 10 * 1 + 10 * 2),
        (4, 100, 6 * 1 + 10 * 2 + 4 * 100),
        (15, 100, 5 * 2 + 15 * 100),
        (40, 100, 40 * 100),
    ],
)
async def test_audio_has_a_price_of_its_own_where_one_is_configured(tmp_path, audio, price, cost):
    models = {
        "backends": {
            "a": {
                "provider": "echo",
                "models": ["m"],
                "prices": {"m": {"input": 1, "output": 2, **({"audio": price} if price else {})}},
            },
            "b": {"provider": "echo"},
        }
    }
    used = Usage(input_tokens=10, output_tokens=10, audio_tokens=audio, provenance=REPORTED)
    async with cached(tmp_path, reports(used), models=models) as (served, _):
        assert (await ask(served, asks(model="a/m"))).usage.cost_micros == cost


async def test_a_model_without_a_price_costs_nothing_and_is_counted(tmp_path):
    async with cached(tmp_path, costs("yes")) as (served, _):
        await ask(served, asks(model="chat"))
        assert (await usage_of(served))["a/m"][1].output_tokens == 4


async def test_a_cached_reply_counts_as_a_request_and_costs_nothing(tmp_path):
    async with priced(tmp_path, reports(ALL_KINDS)) as (served, _):
        for _ in range(3):
            reply = await ask(served, asks(model="chat", cache=USE))
        assert reply.usage.cost_micros == 0
        requests, used = (await usage_of(served))["a/m"]
    assert (requests, used.cost_micros, used.output_tokens) == (3, round(COST), 500)


async def test_a_call_that_two_share_is_paid_once(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *reports(ALL_KINDS)[1:]]
    async with priced(tmp_path, script) as (served, backend):
        calls = [asyncio.create_task(ask(served, asks(model="chat", cache=USE))) for _ in range(2)]
        await until(lambda: backend.asked)
        gate.set()
        await asyncio.gather(*calls)
        requests, used = (await usage_of(served))["a/m"]
    assert (requests, used.cost_micros) == (2, round(COST))


async def test_what_a_call_has_used_is_written_as_soon_as_it_has_ended(tmp_path, monkeypatch):
    """And not once a second: a kill soon after it does not lose it."""
    monkeypatch.setattr(accounting, "INTERVAL", 3600.0)
    today = UsageQuery("2000-01-01", "9999-12-31")
    async with priced(tmp_path) as (served, _):
        ledger = SqliteUsageLedger(tmp_path / "model_gateway")

        async def has(calls: int) -> bool:
            return [counts[0] for counts in (await ledger.totals(today)).values()] == [calls]

        await ledger.start()
        try:
            for calls in (1, 2):
                await ask(served, asks(model="chat", cache=BYPASS))
                await until(partial(has, calls))
        finally:
            await ledger.stop()


async def test_a_stream_that_breaks_off_is_priced_by_what_is_known(tmp_path):
    script = [events.started("m"), events.text_delta("one two three"), BackendFailed("cut")]
    async with priced(tmp_path, script) as (served, _):
        assert (
            await served.client.fault(asks(model="chat", cache=BYPASS), "stream")
        ).reason == "BACKEND_FAILED"
        requests, used = (await usage_of(served))["a/m"]
    assert requests == 1
    assert used.cost_micros > 0


async def test_a_stream_that_ends_early_is_priced_by_what_was_received(tmp_path):
    """A vendor's only count may be that of the beginning."""
    first = Usage(input_tokens=100, output_tokens=1, provenance=UsageProvenance.USAGE_PROVENANCE_PARTIAL)
    end = events.finished(FinishReason.FINISH_REASON_TRUNCATED)
    script = [events.started("m"), events.text_delta("one two three " * 50), events.usage(first), end]
    async with priced(tmp_path, script) as (served, _):
        await ask(served, asks(model="chat", cache=BYPASS), "stream")
        _, used = (await usage_of(served))["a/m"]
        page = await served.client.admin.GetUsage(GetUsageRequest())
    assert used.input_tokens == 100
    assert used.output_tokens > 50
    assert used.cost_micros == 300 + 15 * used.output_tokens
    assert page.records[0].estimated_requests == 1


async def test_a_request_counts_once_with_all_that_its_attempts_cost(tmp_path):
    partial = Usage(input_tokens=10, provenance=REPORTED)
    failing = [events.started("m"), events.usage(partial), BackendFailed("cut")]
    async with priced(tmp_path, failing, b=FakeProvider(reports(ALL_KINDS))) as (served, _):
        reply = await ask(served, asks(model="both", cache=BYPASS), "stream")
        assert reply.backend == "b"
        by_model = await usage_of(served)
        total = await usage_of(served, "TENANT")
    assert {model: requests for model, (requests, _) in by_model.items()} == {"a/m": 0, "b/m": 1}
    assert by_model["a/m"][1].cost_micros == 30
    assert total["default"][0] == 1
    assert total["default"][1].cost_micros == 30 + by_model["b/m"][1].cost_micros


async def test_an_attempt_that_failed_before_it_used_anything_has_no_record(tmp_path):
    async with priced(tmp_path, [BackendFailed("no")], b=FakeProvider(reports(ALL_KINDS))) as (served, _):
        await ask(served, asks(model="both", cache=BYPASS))
        assert set(await usage_of(served)) == {"b/m"}


async def test_embeddings_are_counted_and_priced(tmp_path):
    model = {"provider": "echo", "prices": {"*": {"input": 2}}}
    async with gateway(tmp_path, model=model) as served:
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["one two three"]))
        assert reply.usage.cost_micros == 2 * reply.usage.input_tokens > 0
        assert (await usage_of(served))["echo/echo"][1].cost_micros == reply.usage.cost_micros


KEYS = {"ann": ("acme", "a" * 30), "bob": ("acme", "b" * 30), "cy": ("other", "c" * 30)}
ADMIN = "d" * 30


def with_keys() -> dict:
    keys = [{"id": name, "tenant": tenant, "key": key} for name, (tenant, key) in KEYS.items()]
    return {"keys": [*keys, {"id": "admin", "key": ADMIN, "scopes": ["models.admin"]}]}


def bearer(key: str):
    return (("authorization", f"Bearer {key}"),)


async def test_usage_is_added_up_by_key_and_tenant_and_only_admins_see_it(tmp_path):
    async with gateway(tmp_path, model={"provider": "echo"}, auth=with_keys()) as served:
        for number, (_, key) in enumerate(KEYS.values(), 1):
            for _ in range(number):
                await served.client.gateway.Generate(asks("x", model="chat"), metadata=bearer(key))

        async def records(**fields):
            found = []
            request = GetUsageRequest(page_size=1, **fields)
            while True:
                page = await served.client.admin.GetUsage(request, metadata=bearer(ADMIN))
                found += page.records
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    return [(each.tenant, each.key_id, each.model, each.requests) for each in found]

        assert await records() == [
            ("acme", "ann", "echo/echo", 1),
            ("acme", "bob", "echo/echo", 2),
            ("other", "cy", "echo/echo", 3),
        ]
        tenant = [UsageDimension.USAGE_DIMENSION_TENANT]
        assert await records(group_by=tenant) == [("acme", "", "", 3), ("other", "", "", 3)]
        assert await records(group_by=tenant, key_id="bob") == [("acme", "", "", 2)]
        assert await records(tenant="nobody") == []
        assert await records(model="echo/echo", tenant="other") == [("other", "cy", "echo/echo", 3)]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.client.admin.GetUsage(GetUsageRequest(), metadata=bearer(KEYS["ann"][1]))
        assert remote_error(refused.value).reason == "PERMISSION_DENIED"


async def test_usage_survives_a_restart(tmp_path):
    for number in (1, 2, 3):
        async with gateway(tmp_path, model={"provider": "echo"}) as served:
            await served.client.gateway.Generate(asks("x", model="chat"))
            # The third time it is written by the end of the process alone.
            if number < 3:
                assert (await usage_of(served))["echo/echo"][0] == number
    async with gateway(tmp_path, model={"provider": "echo"}) as served:
        assert (await usage_of(served))["echo/echo"][0] == 3
    async with gateway(tmp_path / "other", model={"provider": "echo"}) as other:
        assert await usage_of(other) == {}


async def test_days_are_selected(tmp_path):
    async with gateway(tmp_path, model={"provider": "echo"}) as served:
        await served.client.gateway.Generate(asks("x", model="chat"))
        assert await usage_of(served, last_day="2020-01-31") == {}
        assert await usage_of(served, first_day="2020-01-01")
        page = await served.client.admin.GetUsage(GetUsageRequest())
        day = page.records[0].day
        assert await usage_of(served, first_day=day, last_day=day)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"first_day": "20261130"}, "first_day"),
        ({"last_day": "2026-02-30"}, "last_day"),
        ({"first_day": "2026-1-1"}, "first_day"),
        ({"first_day": "2026-02-02", "last_day": "2026-02-01"}, "first_day"),
        ({"first_day": "0001-01-01"}, "first_day"),
        ({"group_by": [9]}, "group_by"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ],
)
async def test_what_is_no_day_or_page_is_refused(tmp_path, fields, path):
    async with gateway(tmp_path, model={"provider": "echo"}) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.client.admin.GetUsage(GetUsageRequest(**fields))
    assert remote_error(refused.value).violations[0].field == path


async def test_the_first_day_that_there_is_has_no_days_before_it(tmp_path):
    async with gateway(tmp_path, model={"provider": "echo"}) as served:
        assert await usage_of(served, last_day="0001-01-02") == {}


async def records_of(address: str) -> list[int]:
    async with grpc.aio.insecure_channel(address) as channel:
        page = await ModelAdminServiceStub(channel).GetUsage(GetUsageRequest(), timeout=30)
        return [each.requests for each in page.records]


@pytest.mark.integration
async def test_a_process_that_is_killed_loses_no_more_than_the_last_second(tmp_path):
    environment = {
        "CLAWDBOT_MODEL": '{"provider": "echo"}',
        "CLAWDBOT_LIMITS": '{"key": {"requests": "3/month"}}',
    }
    async with process("clawdbot_model_gateway", state=tmp_path, environment=environment) as served:
        async with grpc.aio.insecure_channel(served.address) as channel:
            for _ in range(3):
                await ModelGatewayServiceStub(channel).Generate(asks(model="chat"), timeout=30)
        await asyncio.sleep(5)
        await served.kill()
    async with process("clawdbot_model_gateway", state=tmp_path, environment=environment) as served:
        assert await records_of(served.address) == [3]
        async with grpc.aio.insecure_channel(served.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ModelGatewayServiceStub(channel).Generate(asks(model="chat"), timeout=30)
        assert remote_error(refused.value).reason == "LIMIT_REACHED"
