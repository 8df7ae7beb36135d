"""What a request costs whose caller leaves: what the backend has said, or what it may have begun on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy

from tests.support import fake_anthropic as anthropic
from tests.support import fake_gemini as gemini
from tests.support.cached_gateway import BYPASS, USE, followers
from tests.support.conditions import until
from tests.support.fake_openai import CUT, DROP, HANG, HOLD, KEY, Answer, chunk, fake_openai, sse
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.priced_gateway import PRICE, priced, usage_of
from tests.support.scripted_provider import WAIT, FakeProvider, says


async def test_a_stream_that_is_cancelled_is_priced_by_what_is_known(tmp_path):
    script = [events.started("m"), events.text_delta("one two three four "), WAIT]
    async with priced(tmp_path, script) as (served, _):
        stream = served.client.stream(asks("a question of some length", model="chat", cache=BYPASS))
        while not (await stream.read()).HasField("text_delta"):
            pass
        stream.cancel()
        await until(lambda: served.idle)
        requests, used = (await usage_of(served))["a/m"]
        page = await served.client.admin.GetUsage(GetUsageRequest())
    assert requests == page.records[0].estimated_requests == 1
    assert used.input_tokens > 0
    assert used.output_tokens > 0
    assert used.cost_micros == used.input_tokens * 3 + used.output_tokens * 15


async def cancelled(served, request, rpc, when, model="a/m") -> Usage:
    """What a request has used that its caller cancels as soon as the condition holds."""
    call = served.client.begin(request, rpc)
    await until(when)
    call.cancel()
    await until(lambda: served.idle)
    return (await usage_of(served))[model][1]


async def left_in_the_middle(served, model) -> Usage:
    """What a stream has used that its caller cancels after the first text."""
    stream = served.client.stream(asks("a question of some length", cache=BYPASS))
    while not (await stream.read()).HasField("text_delta"):
        pass
    stream.cancel()
    await until(lambda: served.idle)
    return (await usage_of(served))[model][1]


@pytest.mark.parametrize("rpc", ["stream", "generate"])
@pytest.mark.parametrize("script", [[WAIT], [events.started("m"), WAIT]])
async def test_what_is_cancelled_before_its_content_is_priced_by_its_input(tmp_path, rpc, script):
    async with priced(tmp_path, script) as (served, backend):
        request = asks("a question of some length", model="chat", cache=BYPASS)
        used = await cancelled(served, request, rpc, backend.waiting.is_set)
    assert used.input_tokens > 0
    assert used.cost_micros == used.input_tokens * 3


@pytest.mark.parametrize("cache", [BYPASS, USE])
async def test_a_request_that_is_cancelled_in_the_queue_costs_nothing(tmp_path, cache):
    async with priced(tmp_path, [WAIT]) as (served, backend):
        scheduler = served.application._components.backends["a"].scheduler
        scheduler.limit = 0
        call = served.client.stream(asks(model="chat", cache=cache))
        await until(lambda: scheduler.waiting)
        call.cancel()
        await until(lambda: served.idle)
        requests, used = (await usage_of(served))["a/m"]
    assert (requests, used.input_tokens, used.cost_micros, backend.asked) == (1, 0, 0, [])


@pytest.mark.parametrize("first_leaves", ["in the queue", "once it was sent"])
async def test_the_last_to_leave_a_shared_call_before_its_content_pays_for_it(tmp_path, first_leaves):
    async with priced(tmp_path, [WAIT]) as (served, backend):
        scheduler = served.application._components.backends["a"].scheduler
        scheduler.limit = 0
        first, last = [served.client.stream(asks("a question", model="chat", cache=USE)) for _ in range(2)]
        await until(lambda: followers(served) == 2 and scheduler.waiting)
        if first_leaves == "in the queue":
            first.cancel()
            await until(lambda: followers(served) == 1)
        scheduler.limit = 1
        scheduler.dispatch()
        await until(lambda: backend.asked)
        first.cancel()
        await until(lambda: followers(served) == 1)
        last.cancel()
        await until(lambda: served.idle)
        requests, used = (await usage_of(served))["a/m"]
    assert requests == 2
    assert used.cost_micros == used.input_tokens * 3 > 0
    assert len(backend.asked) == 1


HELD = sse(chunk({"role": "assistant"}), done=False)
COUNTED = sse({**chunk({"content": "one two three"}), "usage": {"prompt_tokens": 77}}, done=False)
SERVER = "openai_compatible/m"


@pytest.mark.parametrize("answer", [HOLD, Answer([HELD, HANG])])
async def test_what_a_vendor_may_have_begun_is_priced(tmp_path, answer):
    async with fake_openai() as backend:
        model = compatible(backend.url, api_key=KEY, models=["m"], prices={"m": PRICE})
        async with gateway(tmp_path, model=model) as served:
            backend.will(answer)
            used = await cancelled(served, asks("a question"), "stream", backend.busy.is_set, SERVER)
    assert used.cost_micros == used.input_tokens * 3 > 0


async def test_a_vendors_own_count_is_kept_when_the_caller_leaves(tmp_path):
    async with fake_openai() as backend:
        model = compatible(backend.url, api_key=KEY, models=["m"], prices={"m": PRICE})
        async with gateway(tmp_path, model=model) as served:
            backend.will(Answer([HELD, COUNTED, HANG]))
            used = await left_in_the_middle(served, SERVER)
    assert used.input_tokens == 77
    assert used.cost_micros == 77 * 3 + used.output_tokens * 15
    assert used.output_tokens > 0


ANTHROPIC = anthropic.sse(
    anthropic.begin(),
    anthropic.start(0, {"type": "text", "text": ""}),
    anthropic.delta(0, "text_delta", text="one two three"),
)
GEMINI = gemini.sse(gemini.chunk({"text": "one two three"}, usage=gemini.counts(output=None)))


@pytest.mark.parametrize(
    ("server", "provider", "key", "begins"),
    [
        (anthropic.fake_anthropic, "anthropic", anthropic.KEY, ANTHROPIC),
        (gemini.fake_gemini, "gemini", gemini.KEY, GEMINI),
    ],
)
async def test_the_count_of_each_vendor_that_counts_first_is_kept(tmp_path, server, provider, key, begins):
    async with server() as backend:
        model = {
            "provider": provider,
            "endpoint": backend.url,
            "api_key": key,
            "models": ["m"],
            "prices": {"m": PRICE},
        }
        async with gateway(tmp_path, model=model) as served:
            backend.will(Answer([begins, HANG]))
            used = await left_in_the_middle(served, f"{provider}/m")
    assert used.input_tokens == 7
    assert used.cost_micros == 7 * 3 + used.output_tokens * 15


@asynccontextmanager
async def no_tls():
    """The port of a backend that accepts connections and does not answer to TLS; set once it has one."""
    connected = asyncio.Event()

    async def accept(reader, writer):
        connected.set()
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connected


async def test_a_request_that_is_cancelled_while_it_connects_costs_nothing(tmp_path):
    async with no_tls() as (port, connected):
        model = compatible(f"https://127.0.0.1:{port}/v1", models=["m"], prices={"m": PRICE})
        async with gateway(tmp_path, model=model) as served:
            connected.clear()
            used = await cancelled(served, asks(cache=BYPASS), "stream", connected.is_set, SERVER)
    assert (used.input_tokens, used.cost_micros) == (0, 0)


CALLS = {
    "not cached": lambda served: served.client.gateway.Generate(asks("a question", cache=BYPASS), timeout=20),
    "cached": lambda served: served.client.gateway.Generate(asks("a question", cache=USE), timeout=20),
    "embed": lambda served: served.client.gateway.Embed(EmbedRequest(texts=["a text"]), timeout=20),
}


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("call", CALLS)
async def test_the_next_backends_list_of_models_says_nothing_about_an_attempt(tmp_path, call, listed):
    """The first backend is never reached; the second is asked for its models before it is asked to reply."""
    async with no_tls() as (port, _), fake_openai() as backend:
        unreachable = compatible(
            f"https://127.0.0.1:{port}/v1",
            models=["m"],
            prices={"m": PRICE},
            http={"connect_timeout": 0.2, "first_content_timeout": 0.2},
        )
        models = {
            "backends": {"a": unreachable, "b": compatible(backend.url, api_key=KEY)},
            "aliases": {"default": ["a/m", {"target": "b/*", "fallback": True}]},
        }
        known, backend.models = backend.models, None
        async with gateway(tmp_path, models=models) as served:
            asked = len(backend.asked)
            if listed:
                backend.models = known
            with suppress(grpc.aio.AioRpcError):
                await CALLS[call](served)
            assert len(backend.asked) > asked
            usage = await usage_of(served)
    assert all(used.input_tokens == 0 for name, (_, used) in usage.items() if name.startswith("a/"))


async def test_a_silent_backend_that_is_given_up_is_priced_by_its_input(tmp_path):
    async with priced(tmp_path, [WAIT], b=FakeProvider(says("yes"))) as (served, _):
        served.application._components.backends["a"].failure = FailurePolicy(first_content_timeout=0.1)
        request = asks("a question of some length", model="both", cache=BYPASS)
        assert (await served.client.gateway.Generate(request, timeout=20)).backend == "b"
        requests, used = (await usage_of(served))["a/m"]
    assert requests == 0
    assert used.cost_micros == used.input_tokens * 3 > 0
    assert used.output_tokens == 0


@pytest.mark.parametrize("rpc", ["stream", "generate"])
@pytest.mark.parametrize("answer", [DROP, Answer([HELD, CUT])])
async def test_what_a_vendor_may_have_begun_is_priced_where_the_connection_breaks(tmp_path, rpc, answer):
    async with fake_openai() as backend:
        model = compatible(backend.url, api_key=KEY, models=["m"], prices={"m": PRICE})
        async with gateway(tmp_path, model=model) as served:
            backend.will(answer)
            assert (await served.client.fault(asks("a question"), rpc)).reason == "BACKEND_FAILED"
            used = (await usage_of(served))[SERVER][1]
    assert used.cost_micros == used.input_tokens * 3 > 0


@pytest.mark.parametrize("rpc", ["stream", "generate"])
async def test_a_request_that_is_refused_before_it_is_sent_costs_nothing(tmp_path, rpc):
    async with fake_openai() as backend:
        model = compatible(
            backend.url, api_key=KEY, models=["m"], prices={"m": PRICE}, unsupported=["sampling.top_k"]
        )
        async with gateway(tmp_path, model=model) as served:
            request = asks("a question", strict=True, cache=BYPASS, sampling={"top_k": 3})
            assert (await served.client.fault(request, rpc)).reason == "INVALID_REQUEST"
            requests, used = (await usage_of(served))[SERVER]
    assert (requests, used.input_tokens, used.cost_micros, backend.asked) == (1, 0, 0, [])


@pytest.mark.parametrize("rpc", ["stream", "generate"])
async def test_a_bug_before_any_reply_costs_nothing(tmp_path, rpc):
    async with priced(tmp_path, [ValueError("a bug")]) as (served, _):
        await served.client.fault(asks("a question", model="chat", cache=BYPASS), rpc)
        requests, used = (await usage_of(served))["a/m"]
    assert (requests, used.input_tokens, used.cost_micros) == (1, 0, 0)
