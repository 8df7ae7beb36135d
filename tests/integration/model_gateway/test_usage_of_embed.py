"""What Embed costs that does not end well: what was sent to the vendor is priced by what is known."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_tokens
from clawdbot_servicekit.error_table import remote_error

from tests.support.cached_gateway import cached
from tests.support.conditions import until
from tests.support.fake_embedder import FakeEmbedder
from tests.support.fake_openai import CUT, DROP, HANG, HOLD, KEY, Answer, fake_openai, whole
from tests.support.gateway_service import compatible, gateway
from tests.support.priced_gateway import usage_of

TARGET = "openai_compatible/m"
KNOWN, NEW = "the first text of some length", ["a second one that is not known", "and a third"]
ESTIMATE = sum(map(estimate_tokens, NEW))


@pytest.fixture
async def backend():
    async with fake_openai() as backend:
        yield backend


@asynccontextmanager
async def serving(tmp_path, backend, **more):
    section = compatible(backend.url, api_key=KEY, models=["m"], prices={"m": {"input": 3}}, **more)
    async with gateway(tmp_path, model=section) as served:
        yield served


def embedding(served, *texts: str, seconds: float = 20, bypass: bool = False):
    cache = CachePolicy(mode=CachePolicy.MODE_BYPASS if bypass else CachePolicy.MODE_USE)
    return served.client.gateway.Embed(EmbedRequest(texts=texts, cache=cache), timeout=seconds)


async def used(served) -> tuple[int, Usage]:
    await until(lambda: served.idle)
    return (await usage_of(served))[TARGET]


@pytest.mark.parametrize("bypass", [False, True], ids=["cached", "not cached"])
async def test_a_call_that_is_left_costs_the_texts_that_were_sent(tmp_path, backend, bypass):
    async with serving(tmp_path, backend) as served:
        if not bypass:
            await embedding(served, KNOWN)
        before = 0 if bypass else 5
        backend.will(HOLD)
        call = embedding(served, *([] if bypass else [KNOWN]), *NEW, bypass=bypass)
        await backend.busy.wait()
        call.cancel()
        calls, usage = await used(served)
    assert calls == 1 if bypass else 2
    assert usage.input_tokens == before + ESTIMATE
    assert usage.cost_micros == usage.input_tokens * 3


async def test_what_was_known_costs_nothing_however_the_call_ends(tmp_path, backend):
    async with serving(tmp_path, backend) as served:
        await embedding(served, KNOWN, *NEW)
        await embedding(served, *NEW, KNOWN)
        _, usage = await used(served)
    assert usage.input_tokens == 5


async def test_a_deadline_that_ends_the_call_leaves_its_cost(tmp_path, backend):
    async with serving(tmp_path, backend) as served:
        backend.will(HOLD)
        with pytest.raises(grpc.aio.AioRpcError):
            await embedding(served, *NEW, seconds=2)
        _, usage = await used(served)
    assert usage.input_tokens == ESTIMATE


BROKEN = {
    "no response": DROP,
    "in the middle": Answer([b'{"data": [', CUT], content_type="application/json"),
    "silent": HOLD,
    "silent in the middle": Answer([b'{"data": [', HANG], content_type="application/json"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_backend_that_breaks_off_may_charge_for_what_it_got(tmp_path, backend, broken):
    async with serving(tmp_path, backend, http={"read_timeout": 0.3, "idle_timeout": 0.3}) as served:
        backend.will(BROKEN[broken])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await embedding(served, *NEW)
        assert remote_error(caught.value).reason in {"BACKEND_FAILED", "BACKEND_TIMEOUT"}
        _, usage = await used(served)
    assert usage.input_tokens == ESTIMATE
    assert usage.cost_micros == ESTIMATE * 3


ANSWERS = {
    "a refusal": whole({"error": {"message": "no"}}, 400),
    "a failure": whole({"error": {"message": "no"}}, 500),
    "overload": whole({"error": {"message": "no"}}, 503),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_a_backend_has_refused_costs_nothing(tmp_path, backend, answer):
    async with serving(tmp_path, backend) as served:
        backend.will(ANSWERS[answer])
        with pytest.raises(grpc.aio.AioRpcError):
            await embedding(served, *NEW)
        _, usage = await used(served)
    assert (usage.input_tokens, usage.cost_micros) == (0, 0)


async def test_vectors_that_cannot_be_used_are_paid_for(tmp_path):
    async with cached(tmp_path) as (served, _):
        served.application._components.backends["a"].provider = FakeEmbedder(lambda text: [None])
        request = EmbedRequest(texts=["one", "two"], model="chat")
        with pytest.raises(grpc.aio.AioRpcError):
            await served.client.gateway.Embed(request)
        await until(lambda: served.idle)
        usage = (await usage_of(served))["a/m"][1]
    assert usage.input_tokens == 2


async def test_a_call_that_is_left_in_the_queue_costs_nothing(tmp_path, backend):
    async with serving(tmp_path, backend, queue={"concurrency": 1}) as served:
        backend.will(HOLD)
        first = embedding(served, "x", bypass=True)
        await backend.busy.wait()
        second = embedding(served, *NEW, bypass=True)
        state = served.application._components.backends["openai_compatible"]
        await until(lambda: state.scheduler.waiting)
        second.cancel()
        await until(lambda: not state.scheduler.waiting)
        first.cancel()
        _, usage = await used(served)
    assert usage.input_tokens == estimate_tokens("x")


@pytest.mark.parametrize("end", ["left", "failed"])
async def test_texts_that_are_sent_twice_are_paid_for_twice_and_no_more(tmp_path, end):
    """The vendor has replaced the model behind its name, so what was stored is sent again."""

    class Replaced(FakeEmbedder):
        asked_again = asyncio.Event()

        async def embed(self, texts, model, dimensions):
            if len(self.seen) == 2:
                self.asked_again.set()
                if end == "left":
                    await asyncio.Event().wait()
                raise ValueError("a bug")
            return await super().embed(texts, model, dimensions)

    async with cached(tmp_path) as (served, _):
        embedder = served.application._components.backends["a"].provider = Replaced()
        request = EmbedRequest(texts=["one"], model="chat")
        await served.client.gateway.Embed(request)
        embedder.model = "v2"
        call = served.client.gateway.Embed(EmbedRequest(texts=["one", "two"], model="chat"))
        await embedder.asked_again.wait()
        if end == "left":
            call.cancel()
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        await until(lambda: served.idle)
        usage = (await usage_of(served))["a/m"][1]
    again = estimate_tokens("one") + estimate_tokens("two")
    assert usage.input_tokens == 1 + 1 + again
