"""A backend that dies and comes back, through Generate: how often it is asked, and what callers get."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_OPEN,
    BREAKER_STATE_UNSPECIFIED,
    ListBackendsRequest,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from prometheus_client import generate_latest

from tests.support.conditions import until
from tests.support.fake_openai import KEY, error, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
PARROT = {"provider": "echo"}


def backed(url, **breaker):
    limits = {"failures": 3, "cooldown": "10m", "max_cooldown": "10m", **breaker}
    return compatible(url, api_key=KEY, models=["m"], breaker=limits)


def chain(url, **breaker):
    return {
        "backends": {"main": backed(url, **breaker), "parrot": PARROT},
        "aliases": {"chat": ["main/m", {"target": "parrot/echo", "fallback": True}]},
    }


async def states(served):
    listed = await served.client.admin.ListBackends(ListBackendsRequest())
    return {each.name: each.breaker for each in listed.backends}


@RPCS
async def test_a_dead_backend_is_asked_a_few_times_and_its_fallback_answers_always(tmp_path, rpc):
    async with fake_openai() as backend, gateway(tmp_path, models=chain(backend.url)) as served:
        backend.asked.clear()
        backend.always = error(503)
        for _ in range(10):
            assert await served.client.run(asks(model="chat"), rpc)
        assert len(backend.asked) == 3
        assert await states(served) == {"main": BREAKER_STATE_OPEN, "parrot": BREAKER_STATE_CLOSED}
        assert served.idle


@RPCS
async def test_a_backend_that_works_again_is_found_by_a_probe(tmp_path, rpc):
    async with (
        fake_openai() as backend,
        gateway(tmp_path, models=chain(backend.url, cooldown="50ms")) as served,
    ):
        backend.always = error(503)
        for _ in range(5):
            await served.client.run(asks(model="chat"), rpc)
        backend.always = None
        for _ in range(1000):
            await asyncio.sleep(0.01)
            await served.client.run(asks(model="chat"), rpc)
            if (await states(served))["main"] == BREAKER_STATE_CLOSED:
                break
        assert (await served.client.gateway.Generate(asks(model="chat"))).backend == "main"


@RPCS
async def test_no_request_is_lost_while_a_backend_goes_away_and_comes_back(tmp_path, rpc):
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    async with gateway(tmp_path, models=chain(url, cooldown="50ms", max_cooldown="200ms")) as served:

        async def ask(times):
            for _ in range(times):
                assert await served.client.run(asks(model="chat"), rpc)

        await asyncio.gather(*[ask(10) for _ in range(8)])
        assert (await states(served))["main"] == BREAKER_STATE_OPEN
        async with fake_openai(port=port) as back:
            for _ in range(1000):
                await ask(1)
                if (await states(served))["main"] == BREAKER_STATE_CLOSED:
                    break
                await asyncio.sleep(0.01)
            back.asked.clear()
            await asyncio.gather(*[ask(10) for _ in range(8)])
            assert len(back.asked) == 80
        assert served.idle


@RPCS
async def test_where_no_other_target_can_answer_the_caller_learns_when_to_try_again(tmp_path, rpc):
    async with fake_openai() as backend, gateway(tmp_path, model=backed(backend.url)) as served:
        backend.always = error(503)
        for _ in range(3):
            assert (await served.client.fault(asks(), rpc)).reason == "BACKEND_OVERLOADED"
        backend.asked.clear()
        fault = await served.client.fault(asks(), rpc)
        assert (fault.code, fault.reason) == ("UNAVAILABLE", "BREAKER_OPEN")
        assert 500 < fault.retry_after <= 750
        assert "BACKEND_OVERLOADED" in fault.message
        assert backend.asked == []
        assert served.idle


async def test_of_several_open_backends_the_one_that_is_tried_first_says_when(tmp_path):
    async with fake_openai() as one, fake_openai() as other:
        models = {
            "backends": {"one": backed(one.url), "other": backed(other.url, cooldown="1m")},
            "aliases": {"chat": ["one/m", "other/m"]},
        }
        async with gateway(tmp_path, models=models) as served:
            one.always = other.always = error(503)
            for _ in range(3):
                await served.client.fault(asks(model="chat"))
            fault = await served.client.fault(asks(model="chat"))
            assert fault.reason == "BREAKER_OPEN"
            assert 50 < fault.retry_after <= 75
            assert "Not asked: one/m (BREAKER_OPEN)." in fault.message


@RPCS
async def test_an_open_backend_is_the_last_resort_of_a_request_that_has_failed_elsewhere(tmp_path, rpc):
    async with fake_openai() as main, fake_openai() as spare:
        models = {
            "backends": {"main": backed(main.url), "spare": backed(spare.url)},
            "aliases": {"chat": ["main/m", {"target": "spare/m", "fallback": True}]},
        }
        async with gateway(tmp_path, models=models) as served:
            main.always = error(503)
            for _ in range(3):
                await served.client.run(asks(model="chat"), rpc)
            assert await states(served) == {"main": BREAKER_STATE_OPEN, "spare": BREAKER_STATE_CLOSED}
            main.always, spare.always = None, error(429)
            for _ in range(3):
                assert await served.client.run(asks(model="chat"), rpc)
            assert (await states(served))["main"] == BREAKER_STATE_CLOSED
            assert served.idle


async def test_an_open_backend_is_the_last_resort_for_embeddings(tmp_path):
    async with fake_openai() as main, fake_openai() as spare:
        models = {
            "backends": {"main": backed(main.url), "spare": backed(spare.url)},
            "aliases": {"embeddings": ["main/m", {"target": "spare/m", "fallback": True}]},
        }
        async with gateway(tmp_path, models=models) as served:

            async def answers(text):
                request = EmbedRequest(texts=[text], model="embeddings")
                return (await served.client.gateway.Embed(request)).backend

            main.will(*[error(503)] * 3)
            assert [await answers(each) for each in "abc"] == ["spare"] * 3
            spare.will(error(503))
            assert await answers("d") == "main"
            assert (await states(served))["main"] == BREAKER_STATE_CLOSED


@RPCS
async def test_nobody_is_lost_when_one_backend_dies_just_after_the_other_came_back(tmp_path, rpc):
    """The breaker of the one is still open when that of the other opens."""
    async with fake_openai() as main, fake_openai() as spare:
        models = {
            "backends": {"main": backed(main.url), "spare": backed(spare.url)},
            "aliases": {"chat": ["main/m", {"target": "spare/m", "fallback": True}]},
        }
        async with gateway(tmp_path, models=models) as served:
            main.always = error(503)
            for _ in range(3):
                await served.client.run(asks(model="chat"), rpc)
            main.always, spare.always = None, error(503)

            async def ask():
                for _ in range(10):
                    assert await served.client.run(asks(model="chat"), rpc)

            await asyncio.gather(*[ask() for _ in range(16)])


@RPCS
async def test_dead_backends_are_each_others_last_resort_only_while_one_seems_to_work(tmp_path, rpc):
    async with fake_openai() as main, fake_openai() as spare:
        models = {
            "backends": {"main": backed(main.url), "spare": backed(spare.url)},
            "aliases": {"chat": ["main/m", {"target": "spare/m", "fallback": True}]},
        }
        async with gateway(tmp_path, models=models) as served:
            main.always = spare.always = error(503)

            async def ask():
                for _ in range(20):
                    await served.client.fault(asks(model="chat"), rpc)

            await asyncio.gather(*[ask() for _ in range(4)])
            main.asked.clear()
            spare.asked.clear()
            await asyncio.gather(*[ask() for _ in range(4)])
            assert (await served.client.fault(asks(model="chat"), rpc)).reason == "BREAKER_OPEN"
            assert main.asked == spare.asked == []


@RPCS
async def test_requests_that_the_backend_refuses_do_not_open_it(tmp_path, rpc):
    async with fake_openai() as backend, gateway(tmp_path, model=backed(backend.url)) as served:
        backend.asked.clear()
        backend.always = error(400)
        for _ in range(8):
            assert (await served.client.fault(asks(), rpc)).reason == "BACKEND_REFUSED_REQUEST"
        assert len(backend.asked) == 8


async def test_a_breaker_can_be_turned_off(tmp_path):
    async with (
        fake_openai() as backend,
        gateway(tmp_path, model=backed(backend.url, enabled=False)) as served,
    ):
        backend.asked.clear()
        backend.always = error(503)
        for _ in range(8):
            assert (await served.client.fault(asks())).reason == "BACKEND_OVERLOADED"
        assert len(backend.asked) == 8
        assert set((await states(served)).values()) == {BREAKER_STATE_UNSPECIFIED}


async def test_metrics_show_the_breaker(tmp_path):
    async with fake_openai() as backend, gateway(tmp_path, models=chain(backend.url)) as served:
        backend.always = error(503)
        for _ in range(5):
            await served.client.run(asks(model="chat"), "generate")
        wanted = 'clawdbot_backend_breaker_state{backend="main"} 3.0'
        await until(lambda: wanted in generate_latest(served.host.metrics.registry).decode())
