"""A backend that says when to ask again is left alone until then, where another target can answer."""

from __future__ import annotations

import asyncio
import time

import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from tests.support.conditions import until
from tests.support.fake_openai import KEY, Answer, error, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks

LIMITED = {
    "a header": error(429, "slow down", **{"retry-after": "40"}),
    "milliseconds": error(429, "slow down", **{"retry-after-ms": "40000"}),
    "prose": error(429, "Rate limit reached. Please try again in 1m0.363s."),
    "an overload": error(503, "too busy", **{"retry-after": "40"}),
    "a quota": error(402, "insufficient credit", **{"retry-after": "3600"}),
}


def of(*backends, **aliases):
    names = {
        name: compatible(each.url, api_key=KEY, models=["m"])
        for name, each in zip("abc", backends, strict=False)
    }
    return {"backends": names, "aliases": aliases}


@pytest.mark.parametrize("limited", LIMITED.values(), ids=LIMITED)
@pytest.mark.parametrize("fallback", [False, True])
async def test_it_is_asked_once(tmp_path, a, b, fallback, limited):
    other = {"target": "b/m", "fallback": fallback, "weight": 1}
    async with gateway(tmp_path, models=of(a, b, chat=[{"target": "a/m", "weight": 1000}, other])) as served:
        a.will(limited)
        for _ in range(10):
            await served.inside.run(asks(model="chat"), "generate")
    assert (len(a.asked), len(b.asked)) == (1, 10)


async def test_it_is_asked_again_when_its_time_has_come(tmp_path, a, b):
    models = of(a, b, chat=["a/m", {"target": "b/m", "fallback": True}])
    async with gateway(tmp_path, models=models) as served:
        a.will(error(429, "slow down", **{"retry-after-ms": "400"}))
        began = time.monotonic()

        async def answered_by_a() -> bool:
            return (await served.inside.run(asks(model="chat"), "generate")).backend == "a"

        await until(answered_by_a)
        assert time.monotonic() - began >= 0.4
    assert len(a.asked) == 2


async def test_the_only_target_is_asked_all_the_same(tmp_path, a):
    async with gateway(tmp_path, models=of(a, chat=["a/m"])) as served:
        a.will(LIMITED["a header"])
        assert (await served.inside.fault(asks(model="chat"))).reason == "BACKEND_RATE_LIMITED"
        await served.inside.run(asks(model="chat"), "generate")


async def test_it_is_asked_if_the_others_fail(tmp_path, a, b):
    models = of(a, b, chat=["a/m", {"target": "b/m", "fallback": True}])
    async with gateway(tmp_path, models=models) as served:
        a.will(LIMITED["a header"])
        await served.inside.run(asks(model="chat"), "generate")
        b.will(Answer(status=500))
        reply = await served.inside.run(asks(model="chat"), "generate")
    assert reply.backend == "a"


async def test_of_two_that_rest_the_one_that_is_ready_first_is_asked_first(tmp_path, a, b):
    models = of(a, b, chat=["a/m", {"target": "b/m", "fallback": True}])
    async with gateway(tmp_path, models=models) as served:
        a.will(error(429, "slow down", **{"retry-after": "50"}))
        b.will(error(429, "slow down", **{"retry-after": "20"}))
        await served.inside.fault(asks(model="chat"))
        reply = await served.inside.run(asks(model="chat"), "generate")
    assert reply.backend == "b"


async def test_embeddings_go_elsewhere_too(tmp_path, a, b):
    models = of(a, b, chat=["a/m", {"target": "b/m", "fallback": True}])
    async with gateway(tmp_path, models=models) as served:
        a.will(LIMITED["a header"])
        for _ in range(3):
            response = await served.inside.gateway.Embed(EmbedRequest(texts=["x"], model="chat"), timeout=20)
            assert response.backend == "b"
    assert len(a.asked) == 1


async def test_many_at_once_find_out_together(tmp_path, a):
    async with fake_openai() as b:
        models = of(a, b, chat=["a/m", {"target": "b/m", "fallback": True}])
        async with gateway(tmp_path, models=models) as served:
            a.will(*[LIMITED["a header"]] * 20)
            for _ in range(5):
                calls = [served.inside.run(asks(model="chat"), "generate") for _ in range(20)]
                assert {each.backend for each in await asyncio.gather(*calls)} == {"b"}
    assert len(a.asked) <= 20
