"""After a kill what calls had reserved counts as used, and usage has what they had come to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from functools import partial

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support.conditions import until
from tests.support.gateway_service import Client
from tests.support.generate_requests import asks
from tests.support.processes import process
from tests.support.redis_server import redis_server
from tests.support.two_workers import two_workers

pytestmark = pytest.mark.integration

SLOW = {"when": "slow", "text": "one two", "fault": {"kind": "hang", "after": 1}}
MODELS = {
    "backends": {
        "a": {
            "provider": "scripted",
            "models": ["m"],
            "prices": {"*": {"output": 1}},
            "replies": [SLOW, {"text": "yes"}],
        }
    }
}
LIMITS = {"tenant": {"cost": "0.0001/month", "tokens": "1000/month", "concurrent": 1}}
"""A hundred tokens of output, and one call at a time."""


def may_cost(tokens: int, text: str = "quick"):
    return asks(text, model="a/m", sampling={"max_tokens": tokens})


async def refusal(client: Client, tokens: int):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.gateway.Generate(may_cost(tokens), timeout=30)
    return remote_error(caught.value)


async def begin(client: Client) -> grpc.aio.Call:
    """A stream that may cost sixty tokens, after its first text."""
    stream = client.stream(may_cost(60, "slow"), seconds=60)
    while not (await stream.read()).HasField("text_delta"):
        pass
    return stream


async def test_one_process(tmp_path):
    environment = {"CLAWDBOT_MODELS": json.dumps(MODELS), "CLAWDBOT_LIMITS": json.dumps(LIMITS)}
    run = partial(process, "clawdbot_model_gateway", state=tmp_path, environment=environment)
    async with run() as served, grpc.aio.insecure_channel(served.address) as channel:
        await begin(Client(channel))
        # It is saved once a second.
        await asyncio.sleep(4)
        await served.kill()
    async with run() as served, grpc.aio.insecure_channel(served.address) as channel:
        client = Client(channel)
        assert (await refusal(client, 41)).reason == "BUDGET_SPENT"
        # The rest can be used, by one call at a time.
        await client.gateway.Generate(may_cost(40), timeout=30)
        await until(lambda: _has_usage(client, calls=2, estimated=2))
        # Once, however often one asks, or starts again.
        await served.stop()
    async with run() as served, grpc.aio.insecure_channel(served.address) as channel:
        assert await _has_usage(Client(channel), calls=2, estimated=2)


async def test_one_of_two_workers(tmp_path):
    more = {"CLAWDBOT_LIMITS": json.dumps(LIMITS)}
    async with two_workers(tmp_path, MODELS, **more) as workers:
        await begin(workers.clients[0])
        # A call at a time: it has the only place.
        assert {(await refusal(each, 1)).reason for each in workers.clients} == {"LIMIT_REACHED"}
        for pid in workers.pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while (reason := await _reason(workers.clients[-1])) != "BUDGET_SPENT":
                assert reason in {"UNAVAILABLE", "LIMIT_REACHED"}
                await asyncio.sleep(0.1)
        await workers.clients[-1].gateway.Generate(may_cost(40), timeout=30, wait_for_ready=True)


async def test_one_of_two_replicas(tmp_path):
    with redis_server(tmp_path) as server:
        environment = {
            "CLAWDBOT_MODELS": json.dumps(MODELS),
            "CLAWDBOT_LIMITS": json.dumps({"redis": server.url}),
        }
        run = partial(process, "clawdbot_model_gateway", environment=environment)
        async with (
            run(state=tmp_path / "a") as killed,
            run(state=tmp_path / "b") as other,
            grpc.aio.insecure_channel(killed.address) as channel,
            grpc.aio.insecure_channel(other.address) as other_channel,
        ):
            await begin(Client(channel))
            await asyncio.sleep(4)
            await killed.kill()
            client = Client(other_channel)
            assert await _has_usage(client, calls=0, estimated=0)
            await until(lambda: _has_usage(client, calls=1, estimated=1), 60)


async def _has_usage(client: Client, *, calls: int, estimated: int) -> bool:
    page = await client.admin.GetUsage(GetUsageRequest())
    found = [each for each in page.records if each.model == "a/m"]
    assert all(each.usage.output_tokens and each.usage.cost_micros for each in found)
    totals = sum(each.requests for each in found), sum(each.estimated_requests for each in found)
    return totals == (calls, estimated)


async def _reason(client: Client) -> str:
    try:
        await client.gateway.Generate(may_cost(41), timeout=30)
    except grpc.aio.AioRpcError as error:
        return remote_error(error).reason or error.code().name
    return "OK"
