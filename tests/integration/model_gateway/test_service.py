"""The model gateway's two services as callers use them: over TCP and in the process."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1 import model_gateway_service_pb2
from clawdbot_model_client.accumulator import accumulate
from clawdbot_servicekit.error_table import remote_error

from tests.support.conditions import until
from tests.support.deadlines import expired
from tests.support.fake_ollama import fake_ollama
from tests.support.fake_openai import HANG, HOLD, KEY, Answer, chunk, fake_openai, sse
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, text_of

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
BEFORE_THE_FIRST_TOKEN = Answer([sse(chunk({"role": "assistant"}), done=False), HANG])
IN_THE_MIDDLE = Answer([sse(chunk({"content": "Good"}), done=False), HANG])


@pytest.fixture(params=["tcp", "in_process"])
def client_of(request):
    """A client of a running gateway, over either channel."""
    return lambda served: served.client if request.param == "tcp" else served.inside


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


# Generation


async def test_a_whole_reply_is_the_accumulated_stream(tmp_path, client_of):
    async with gateway(tmp_path) as served:
        client = client_of(served)
        events = await client.events(asks("one two three"))
        check_grammar(events)
        reply = await client.gateway.Generate(asks("one two three"))
    assert accumulate(events) == reply
    assert text_of(events) == "one two three"


async def test_a_bad_request_is_refused_with_its_fields(tmp_path, client_of):
    async with gateway(tmp_path) as served:
        for rpc in ("generate", "stream"):
            fault = await client_of(served).fault(asks("", sampling={"top_p": 3.0}), rpc)
            assert (fault.code, fault.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
            assert [each.field for each in fault.violations] == [
                "messages[0].parts[0].text",
                "sampling.top_p",
            ]


async def test_a_field_without_effect_is_a_warning_or_refused(tmp_path, client_of):
    request = asks(sampling={"top_k": 4})
    async with gateway(tmp_path) as served:
        reply = await client_of(served).gateway.Generate(request)
        assert [(each.code, each.field) for each in reply.warnings] == [
            ("FIELD_NOT_SUPPORTED", "sampling.top_k")
        ]
        request.strict = True
        fault = await client_of(served).fault(request)
    assert [each.field for each in fault.violations] == ["sampling.top_k"]


async def test_an_unknown_model_is_not_found_and_the_closest_suggested(tmp_path, client_of):
    async with gateway(tmp_path) as served:
        for rpc in ("generate", "stream"):
            fault = await client_of(served).fault(asks(model="chta"), rpc)
            assert (fault.code, fault.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
            assert fault.message == "There is no model chta. Did you mean chat?"


@pytest.mark.parametrize(
    ("rpc", "request_"),
    [
        ("Transcribe", model_gateway_service_pb2.TranscribeRequest()),
        ("Synthesize", model_gateway_service_pb2.SynthesizeRequest()),
        ("RegisterModel", admin.RegisterModelRequest()),
        ("VerifyModel", admin.VerifyModelRequest()),
    ],
)
async def test_an_rpc_that_is_not_implemented_yet_says_so(tmp_path, rpc, request_):
    async with gateway(tmp_path) as served:
        client = served.client
        stub = client.gateway if hasattr(client.gateway, rpc) else client.admin
        call = getattr(stub, rpc)(request_)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            [each async for each in call] if rpc == "Synthesize" else await call
    fault = remote_error(refused.value)
    assert (fault.code, fault.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED_YET")
    assert rpc in fault.message


# Cancellation


@pytest.mark.parametrize("moment", [HOLD, BEFORE_THE_FIRST_TOKEN, IN_THE_MIDDLE])
@RPCS
async def test_a_cancelled_call_closes_the_upstream_connection(tmp_path, client_of, backend, moment, rpc):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(moment)
        call = client_of(served).begin(asks(), rpc)
        await backend.busy.wait()
        assert not served.idle
        call.cancel()
        async with asyncio.timeout(20):
            await backend.gone.wait()
        assert backend.left == 1
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert await until(lambda: served.idle)
        # The slot is released exactly once: the next request finds the same state.
        await client_of(served).run(asks(), rpc)
        assert await until(lambda: served.idle)
        shown = (await served.client.admin.ListBackends(admin.ListBackendsRequest())).backends[0]
        assert (shown.requests_in_flight, shown.open_connections) == (0, 1)


@RPCS
async def test_a_deadline_closes_the_upstream_connection(tmp_path, client_of, backend, rpc):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.always = IN_THE_MIDDLE
        fault = await expired(partial(client_of(served).fault, asks(), rpc), backend.busy.is_set)
        assert fault.code == "DEADLINE_EXCEEDED"
        async with asyncio.timeout(20):
            await backend.gone.wait()
        assert await until(lambda: served.idle)


async def test_requests_beyond_the_pool_wait_for_a_slot_and_lists_of_models_do_not(tmp_path, backend):
    model = compatible(backend.url, api_key=KEY, http={"pool_size": 1})
    async with gateway(tmp_path, model=model) as served:
        backend.will(HOLD)
        first = served.client.stream(asks())
        await backend.busy.wait()
        second = served.client.stream(asks())
        provider = next(iter(served.application._components.backends.values())).provider
        async with asyncio.timeout(20):
            assert await provider.list_models()
        assert provider.open_connections == 2
        assert not second.done()
        second.cancel()
        first.cancel()
        assert await until(lambda: served.idle)


async def test_a_request_that_waits_for_a_slot_can_be_cancelled(tmp_path, backend):
    model = compatible(backend.url, api_key=KEY, http={"pool_size": 1})
    async with gateway(tmp_path, model=model) as served:
        backend.will(HOLD)
        first = served.client.stream(asks())
        await backend.busy.wait()
        second = served.client.stream(asks())
        assert await until(
            lambda: next(iter(served.application._components.backends.values())).in_flight == 2
        )
        second.cancel()
        assert await until(
            lambda: next(iter(served.application._components.backends.values())).in_flight == 1
        )
        first.cancel()
        assert await until(lambda: served.idle)
        assert finish_of(await served.client.events(asks())) == "stop"


# Fallbacks and hooks


async def test_the_next_target_answers_where_one_fails(tmp_path, backend):
    backends = {"main": compatible("http://127.0.0.1:1/v1", models=["m"]), "echo": {"provider": "echo"}}
    aliases = {"chat": ["main/m", {"target": "echo/echo", "fallback": True}]}
    async with gateway(tmp_path, models={"backends": backends, "aliases": aliases}) as served:
        events = await served.client.events(asks("hello", model="chat"))
        fault = await served.client.fault(asks("hello", model="main/m"))
    assert (events[0].started.backend, events[0].started.attempt) == ("echo", 2)
    assert fault.reason == "BACKEND_UNREACHABLE"


async def test_a_plugin_can_refuse_a_generation_before_it_starts(tmp_path, client_of, backend):
    limiter = {"rate_limiter": {"generations": "1/day"}}
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY), plugins=[limiter]) as served:
        await client_of(served).gateway.Generate(asks())
        asked = len(backend.asked)
        for rpc in ("generate", "stream"):
            fault = await client_of(served).fault(asks(), rpc)
            assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
            assert fault.retry_after > 0
        assert len(backend.asked) == asked


# Administration


async def test_models_are_listed_and_shown(tmp_path, client_of, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        client = client_of(served).admin
        listed = (await client.ListModels(admin.ListModelsRequest())).models
        assert [each.name for each in listed] == ["chat", "default", "openai_compatible/fake-1"]
        assert listed[0].targets[0].target == "openai_compatible/fake-1"
        shown = (await client.GetModel(admin.GetModelRequest(name="openai_compatible/fake-1"))).model
        assert (shown.vendor_model, shown.context_length) == ("fake-1", 8192)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await client.GetModel(admin.GetModelRequest(name="x"))
    assert remote_error(unknown.value).reason == "MODEL_NOT_FOUND"


async def test_a_switch_takes_effect_at_once_and_streams_in_flight_stay_on_their_backend(
    tmp_path, client_of, backend
):
    go_on = asyncio.Event()
    backends = {"main": compatible(backend.url, api_key=KEY), "echo": {"provider": "echo"}}
    async with gateway(tmp_path, models={"backends": backends}) as served:
        client = client_of(served)
        backend.will(
            Answer(
                [sse(chunk({"content": "one"}), done=False), go_on, sse(chunk({"content": "two"}, "stop"))]
            )
        )
        call = client.stream(asks(model="chat"))
        events = []
        async for event in call:
            events.append(event)
            if event.WhichOneof("event") == "text_delta":
                break
        reply = await client.switch("chat", "echo/echo", request_id="r-1")
        assert [each.target for each in reply.previous_targets] == ["main/fake-1"]
        assert reply.elapsed.ToNanoseconds() > 0
        assert (await client.gateway.Generate(asks("hi", model="chat"))).backend == "echo"
        go_on.set()
        events += [event async for event in call]
    assert text_of(events) == "onetwo"
    assert finish_of(events) == "stop"


async def test_a_switch_outlives_a_restart_until_the_configuration_changes(tmp_path):
    backends = {"a": {"provider": "echo"}, "b": {"provider": "echo", "transform": "upper"}}
    async with gateway(tmp_path, models={"backends": backends}) as served:
        await served.client.switch("chat", "b/echo")
    async with gateway(tmp_path, models={"backends": backends}) as served:
        assert (await served.client.gateway.Generate(asks("x", model="chat"))).backend == "b"
        assert "switched" in served.application.describe()["models"][0]
    async with gateway(tmp_path, models={"backends": backends, "aliases": {"chat": "a/echo"}}) as served:
        assert (await served.client.gateway.Generate(asks("x", model="chat"))).backend == "a"


async def test_an_invalid_switch_changes_nothing(tmp_path, client_of):
    async with gateway(tmp_path) as served:
        client = client_of(served)
        for targets, reason in {("echo/ehco",): "MODEL_NOT_FOUND", (): "INVALID_REQUEST"}.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.switch("chat", *targets)
            assert remote_error(refused.value).reason == reason
        assert (await client.gateway.Generate(asks("hi", model="chat"))).message.parts[0].text == "hi"


@pytest.mark.parametrize(
    "alias", ["", "a/b", "a b", "a\n", "\x1b[2J", "чат", "-a", ".a", "a\u200b", "a" * 129, "a\x00"]
)
async def test_an_alias_that_the_configuration_would_not_take_is_refused(tmp_path, alias):
    async with gateway(tmp_path) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.client.switch(alias, "echo/echo")
        fault = remote_error(refused.value)
        assert (fault.code, fault.violations[0].field) == ("INVALID_ARGUMENT", "alias")
        assert "at most 128 letters, digits, dots, colons, hyphens and underscores" in fault.message
        for good in ("a", "gpt-4.1:mini_2", "a" * 128):
            await served.client.switch(good, "echo/echo")


async def test_a_gateway_that_does_not_switch_refuses_and_keeps_to_its_configuration(tmp_path):
    backends = {"a": {"provider": "echo"}, "b": {"provider": "echo", "transform": "upper"}}
    async with gateway(tmp_path, models={"backends": backends}) as served:
        await served.client.switch("chat", "b/echo")
    async with gateway(tmp_path, models={"backends": backends}, gateway={"switching": False}) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await served.client.switch("chat", "b/echo")
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert remote_error(refused.value).reason == "SWITCHING_OFF"
        assert (await served.client.gateway.Generate(asks("x", model="chat"))).backend == "a"


# Nothing configured


async def test_the_banner_has_the_address_of_each_target(tmp_path):
    where = {name: f"http://127.0.0.1:{port}/v1" for port, name in enumerate("ab", 1)}
    backends = {name: {**compatible(url), "models": ["m"]} for name, url in where.items()}
    aliases = {"chat": ["a/m", "c/echo", {"target": "b/m", "fallback": True}]}
    models = {"backends": {**backends, "c": {"provider": "echo"}}, "aliases": aliases}
    async with gateway(tmp_path, models=models) as served:
        (chat,) = served.application.describe()["models"]
    assert chat == f"chat is a/m at {where['a']} or c/echo, else b/m at {where['b']} (as configured)"


async def test_without_a_configuration_the_echo_answers_and_the_banner_says_why(tmp_path):
    async with gateway(tmp_path, gateway={"ollama": "http://127.0.0.1:1/v1"}) as served:
        (banner,) = served.application.describe()["models"]
        assert banner.startswith("chat is echo/echo (it echoes your messages; set OPENAI_API_KEY")
        listed = (await served.client.admin.ListBackends(admin.ListBackendsRequest())).backends
        assert [each.name for each in listed] == ["echo"]
        assert (await served.client.gateway.Generate(asks("hi"))).model == "echo"


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_without_a_configuration_ollama_answers_if_it_runs(tmp_path, suffix):
    async with (
        fake_ollama() as backend,
        gateway(tmp_path, gateway={"ollama": f"{backend.root}{suffix}"}) as served,
    ):
        assert served.application.describe()["models"] == (
            f"chat is ollama/fake:latest at {backend.root} (Ollama runs on this machine)",
        )
        listed = (await served.client.admin.ListBackends(admin.ListBackendsRequest())).backends
        assert [each.name for each in listed] == ["echo", "ollama"]
        model = (await served.client.admin.GetModel(admin.GetModelRequest(name="ollama/fake:latest"))).model
        assert model.context_length == 40_960
        assert (await served.client.gateway.Generate(asks())).model == "fake:latest"
        assert backend.asked[-1].path == "/api/chat"


async def test_without_a_configuration_a_key_selects_openai(tmp_path, backend):
    openai = {"base_url": backend.url, "api_key": KEY}
    async with gateway(tmp_path, gateway={"openai": openai, "ollama": None}) as served:
        assert served.application.describe()["models"] == (
            f"chat is openai/fake-1 at {backend.url} (OPENAI_API_KEY is set)",
        )
        assert (await served.client.gateway.Generate(asks())).backend == "openai"


async def test_a_request_over_the_configured_size_is_refused_though_the_server_takes_it(tmp_path):
    section = {"model": {"provider": "echo"}, "gateway": {"max_request": 2048}}
    async with gateway(tmp_path, **section) as served:
        error = await served.client.fault(asks("x" * 4000))
        assert (error.reason, [each.field for each in error.violations]) == ("INVALID_REQUEST", ["messages"])
        assert (await served.client.run(asks("x" * 1000), "generate")).message.parts
