"""The gateway with a backend on a real socket that misbehaves in every way: what the caller gets."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time

import pytest
from clawdbot_servicekit.error_table import remote_error
from grpc.aio import AioRpcError

from tests.support.certificates import authority, certificate
from tests.support.fake_openai import (
    CUT,
    DROP,
    HANG,
    HOLD,
    KEY,
    Answer,
    chunk,
    completion,
    error,
    fake_openai,
    sse,
    text_chunks,
    usage_chunk,
    whole,
)
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, kinds, text_of
from tests.support.ports import free_port

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def served(backend, tmp_path):
    model = compatible(backend.url, api_key=KEY, http={"read_timeout": 5, "idle_timeout": 5})
    async with gateway(tmp_path, model=model) as each:
        backend.asked.clear()
        yield each


async def test_a_reply_arrives_whole_and_streamed(served):
    events = await served.client.events(asks())
    check_grammar(events)
    assert text_of(events) == "Good evening."
    reply = await served.client.gateway.Generate(asks())
    assert (reply.message.parts[0].text, reply.model, reply.backend) == (
        "Good evening.",
        "fake-1",
        "openai_compatible",
    )
    assert reply.usage.input_tokens == 7


async def test_the_model_is_the_first_that_the_endpoint_lists(served, backend):
    assert served.application.describe()["models"] == (
        f"chat is openai_compatible/fake-1 at {backend.url} (the first model that it lists)",
    )
    await served.client.gateway.Generate(asks())
    assert backend.last["model"] == "fake-1"


async def test_the_key_goes_in_its_header_and_nowhere_else(served, backend):
    await served.client.gateway.Generate(asks())
    request = backend.asked[-1]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(request.body) + str(request.query) + request.path


async def test_azure_has_its_own_header_and_version(backend, tmp_path):
    backend.will(whole(completion()))
    azure = compatible(backend.url, api_key=KEY, key_header="api-key", api_version="2026-05-01")
    async with gateway(tmp_path, model={**azure, "models": ["gpt"]}) as served:
        await served.client.gateway.Generate(asks())
    request = backend.asked[-1]
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.query["api-version"] == "2026-05-01"


async def test_connections_are_reused(served, backend):
    for _ in range(5):
        await served.client.events(asks())
        await served.client.gateway.Generate(asks())
    assert len(backend.connections) == 1


async def test_connections_send_without_delay(served):
    await served.client.gateway.Generate(asks())
    (backend,) = served.application._components.backends.values()
    ((protocol, *_), *_), *_ = backend.provider._pool._connector._conns.values()
    sock = protocol.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# Streams


async def test_deltas_are_passed_on_as_they_arrive(served, backend):
    go_on = asyncio.Event()
    backend.will(
        Answer([sse(chunk({"content": "one"}), done=False), go_on, sse(chunk({"content": "two"}, "stop"))])
    )
    call = served.client.stream(asks())
    seen = []
    async for event in call:
        seen.append(event)
        if event.WhichOneof("event") == "text_delta":
            go_on.set()
    assert [each.text_delta.text for each in seen if each.HasField("text_delta")] == ["one", "two"]


async def test_a_character_that_the_network_splits_is_reassembled(served, backend):
    stream = sse(*text_chunks("你好"), newline="\r\n")
    backend.will(Answer([bytes([each]) for each in stream]))
    assert text_of(await served.client.events(asks())) == "你好"


async def test_silence_after_the_finish_reason_is_success_and_does_not_block_the_caller(
    served, backend, monkeypatch
):
    monkeypatch.setattr("clawdbot_model_gateway.http.response_stream.FINISH_TIMEOUT", 0.05)
    backend.will(Answer([sse(chunk({"content": "Yes."}, "stop"), done=False), HANG]))
    begun = time.monotonic()
    events = await served.client.events(asks())
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")
    assert time.monotonic() - begun < 30


async def test_a_late_end_of_the_stream_does_not_block_the_caller(served, backend, monkeypatch):
    """[DONE] has arrived and the connection stays open: the reply is complete."""
    monkeypatch.setattr("clawdbot_model_gateway.http.response_stream.FINISH_TIMEOUT", 60)
    backend.will(Answer([sse(*text_chunks("Yes.")), HANG]))
    begun = time.monotonic()
    assert finish_of(await served.client.events(asks())) == "stop"
    assert time.monotonic() - begun < 30


async def test_usage_after_the_finish_reason_is_waited_for(served, backend):
    late = asyncio.Event()
    backend.will(Answer([sse(chunk({"content": "Yes."}, "stop"), done=False), late, sse(usage_chunk(9, 1))]))
    call = served.client.stream(asks())
    asyncio.get_running_loop().call_later(0.05, late.set)
    events = [event async for event in call]
    assert events[-2].usage.input_tokens == 9


async def test_a_stream_that_breaks_is_truncated_and_never_success(served, backend):
    for ending in ([CUT], []):
        backend.will(Answer([sse(*text_chunks("Good", finish=None), done=False), *ending]))
        events = await served.client.events(asks())
        assert (text_of(events), finish_of(events)) == ("Good", "truncated")
        assert events[-1].finished.truncated


async def test_a_server_that_cannot_stream_is_supported(served, backend):
    backend.will(whole(completion({"content": "All at once."})))
    events = await served.client.events(asks())
    check_grammar(events)
    assert text_of(events) == "All at once."


async def test_an_error_in_the_middle_comes_after_the_content_before_it(served, backend):
    broken = {"error": {"message": "CUDA out of memory", "code": 500}}
    backend.will(Answer([sse(chunk({"content": "Good"}), done=False), sse(broken)]))
    call, seen = served.client.stream(asks()), []
    with pytest.raises(AioRpcError) as failed:  # noqa: PT012 - what comes before is what counts
        async for event in call:
            seen.append(event)  # noqa: PERF401 - a comprehension would lose it
    assert kinds(seen) == ["started", "text_delta"]
    fault = remote_error(failed.value)
    assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_FAILED")
    assert "CUDA out of memory" in fault.message
    assert served.idle


# Errors

ERRORS = [
    (
        error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
        "FAILED_PRECONDITION",
        "BACKEND_AUTH",
    ),
    (error(403, "no"), "FAILED_PRECONDITION", "BACKEND_AUTH"),
    (error(429, "slow down", **{"Retry-After": "7"}), "RESOURCE_EXHAUSTED", "BACKEND_RATE_LIMITED"),
    (error(429, "no money", "insufficient_quota"), "RESOURCE_EXHAUSTED", "BACKEND_QUOTA"),
    (error(404, "The model `x` does not exist", "model_not_found"), "NOT_FOUND", "BACKEND_MODEL_MISSING"),
    (error(400, "top_k is not supported"), "INVALID_ARGUMENT", "BACKEND_REFUSED_REQUEST"),
    (error(400, "maximum context length is 10"), "INVALID_ARGUMENT", "CONTEXT_TOO_LONG"),
    (error(500, "boom"), "UNAVAILABLE", "BACKEND_FAILED"),
    (error(503, "loading"), "UNAVAILABLE", "BACKEND_OVERLOADED"),
    (Answer([b"<html><title>Login</title>"], content_type="text/html"), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (Answer([b"ok"], content_type="text/plain"), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (whole({"choices": []}), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (whole({"error": {"message": "busy", "type": "overloaded_error"}}), "UNAVAILABLE", "BACKEND_OVERLOADED"),
    (Answer([], 307, {"Location": "http://127.0.0.1:1/"}), "UNAVAILABLE", "BACKEND_PROTOCOL"),
]


@RPCS
@pytest.mark.parametrize("case", ERRORS)
async def test_each_error_has_its_status_reason_and_advice(served, backend, rpc, case):
    answer, code, reason = case
    backend.will(answer)
    fault = await served.client.fault(asks(), rpc)
    assert (fault.code, fault.reason) == (code, reason)
    assert fault.message.startswith("openai_compatible/fake-1: ")
    assert fault.message.endswith(".")
    assert KEY not in fault.message
    assert served.idle


@RPCS
async def test_the_retry_delay_is_passed_on(served, backend, rpc):
    backend.will(error(429, "slow down", **{"Retry-After": "7"}))
    assert (await served.client.fault(asks(), rpc)).retry_after == 7
    backend.will(error(429, "no money", "insufficient_quota", **{"Retry-After": "7"}))
    fault = await served.client.fault(asks(), rpc)
    assert fault.retry_after is None
    assert fault.quota_subject == "backend account"


@RPCS
async def test_a_request_that_may_have_been_worked_on_is_not_sent_again(served, backend, rpc):
    await served.client.run(asks(), rpc)
    backend.will(DROP)
    fault = await served.client.fault(asks(), rpc)
    assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_FAILED")
    assert len(backend.asked) == 2
    await served.client.run(asks(), rpc)


@RPCS
async def test_connections_that_the_backend_closed_cost_no_request(served, backend, rpc):
    await asyncio.gather(*(served.client.run(asks(), rpc) for _ in range(4)))
    for connection in backend.connections:
        connection.abort()
    await asyncio.gather(*(served.client.run(asks(), rpc) for _ in range(4)))
    assert len(backend.asked) == 8


@RPCS
async def test_silence_is_an_error_after_the_timeout(backend, tmp_path, rpc):
    model = compatible(backend.url, api_key=KEY, http={"read_timeout": 0.1, "idle_timeout": 0.1})
    async with gateway(tmp_path, model=model) as served:
        for silence in (HOLD, Answer([sse(chunk({"role": "assistant"}), done=False), HANG])):
            backend.will(silence)
            fault = await served.client.fault(asks(), rpc)
            assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_TIMEOUT")
        assert served.idle


@RPCS
async def test_an_endpoint_without_a_server_is_unreachable(tmp_path, rpc):
    async with gateway(tmp_path, model=compatible(f"http://127.0.0.1:{free_port()}/v1")) as served:
        fault = await served.client.fault(asks(), rpc)
        (chat, *unlisted) = served.application.describe()["models"]
    assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_UNREACHABLE")
    assert "connection refused" in fault.message
    assert "Check that it runs" in fault.message
    assert "openai_compatible/*" in chat
    assert "connection refused" in unlisted[0]


async def test_a_host_name_without_an_address_has_an_error_of_its_own(tmp_path):
    model = compatible("http://no-such-host.invalid/v1", models=["m"])
    async with gateway(tmp_path, model=model) as served:
        fault = await served.client.fault(asks())
    assert fault.reason == "BACKEND_NAME_NOT_RESOLVED"
    assert "spelling" in fault.message


@pytest.fixture
def tls(tmp_path):
    """A server's SSL context and the file of the CA behind it."""
    ours = authority("test authority")
    chain, key = certificate("localhost", ours).write(tmp_path, "server")
    trusted, _ = ours.write(tmp_path, "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context, trusted


async def test_an_untrusted_certificate_is_a_tls_error(tls, tmp_path):
    async with (
        fake_openai(tls[0]) as backend,
        gateway(tmp_path, model=compatible(backend.url, models=["m"], api_key=KEY)) as served,
    ):
        fault = await served.client.fault(asks())
    assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_TLS")
    assert "not trusted" in fault.message
    assert "ca_file" in fault.message
    assert backend.asked == []


async def test_a_private_ca_can_be_trusted(tls, tmp_path):
    async with fake_openai(tls[0]) as backend:
        model = compatible(backend.url, models=["m"], api_key=KEY, http={"ca_file": str(tls[1])})
        async with gateway(tmp_path, model=model) as served:
            assert (await served.client.gateway.Generate(asks())).model == "fake-1"


async def test_https_to_an_http_server_is_a_tls_error(backend, tmp_path):
    url = backend.url.replace("http:", "https:")
    async with gateway(tmp_path, model=compatible(url, models=["m"])) as served:
        assert (await served.client.fault(asks())).reason == "BACKEND_TLS"


async def test_a_server_that_does_not_speak_http_violates_the_protocol(tmp_path):
    async def talk(_, writer):
        writer.write(b"220 smtp.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with gateway(tmp_path, model=compatible(url, models=["m"])) as served:
            assert (await served.client.fault(asks())).reason in {"BACKEND_PROTOCOL", "BACKEND_FAILED"}
