"""The gateway in front of the Gemini API on a real socket: what it sends, and what callers get."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, Part, ToolResult
from clawdbot_model_gateway.formats.sse import MAX_EVENT_BYTES
from clawdbot_servicekit.error_table import remote_error
from grpc.aio import AioRpcError

from tests.support.fake_gemini import (
    KEY,
    MODEL,
    WRONG_KEY,
    call,
    chunk,
    counts,
    error,
    fake_gemini,
    quota,
    reason,
    retry,
    sse,
    status,
    text_chunks,
)
from tests.support.fake_openai import CUT, DROP, HANG, HOLD, Answer, whole
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, kinds, text_of, tool

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


@pytest.fixture
async def backend():
    async with fake_gemini() as fake:
        yield fake


def model(url, **more):
    return {"provider": "gemini", "endpoint": url, "api_key": KEY, **more}


@pytest.fixture
async def served(backend, tmp_path):
    timeouts = {"read_timeout": 5, "idle_timeout": 5}
    async with gateway(tmp_path, model=model(backend.url, http=timeouts)) as each:
        backend.asked.clear()
        yield each


async def test_replies_arrive_with_and_without_streaming(served, backend):
    events = await served.client.events(asks())
    check_grammar(events)
    assert text_of(events) == "Good evening."
    reply = await served.client.gateway.Generate(asks())
    assert (reply.message.parts[0].text, reply.model, reply.backend) == ("Good evening.", MODEL, "gemini")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)
    streamed, at_once = backend.asked
    assert streamed.path == f"/v1beta/models/{MODEL}:streamGenerateContent"
    assert dict(streamed.query) == {"alt": "sse"}
    assert (at_once.path, dict(at_once.query)) == (f"/v1beta/models/{MODEL}:generateContent", {})
    assert streamed.body == at_once.body


async def test_the_default_model_is_the_first_that_chats_on_any_page(served):
    assert f"gemini/{MODEL}" in served.application.describe()["models"][0]


async def test_the_key_goes_in_its_header_and_nowhere_else(served, backend):
    await served.client.gateway.Generate(asks())
    asked = backend.asked[-1]
    assert asked.headers["x-goog-api-key"] == KEY
    assert "authorization" not in asked.headers
    assert KEY not in json.dumps(asked.body) + str(asked.query) + asked.path


async def test_an_endpoint_without_a_version_gets_one(backend, tmp_path):
    async with gateway(tmp_path, model=model(backend.url.removesuffix("/v1beta"))) as served:
        assert (await served.client.gateway.Generate(asks())).model == MODEL


async def test_connections_are_reused(served, backend):
    for _ in range(5):
        await served.client.events(asks())
        await served.client.gateway.Generate(asks())
    assert len(backend.connections) == 1


async def test_a_call_goes_back_with_its_thought_signature_and_its_result(served, backend):
    arguments = {"note": "x" * 100_000}
    reply = chunk(call("tables_reserve", arguments, signature="c2ln"), finish="STOP", usage=counts())
    backend.will(Answer([sse(reply)]))
    request = asks(tools=[tool("tables.reserve")])
    events = await served.client.events(request)
    assert finish_of(events) == "tool_calls"
    done = next(each.tool_call_done.tool_call for each in events if each.HasField("tool_call_done"))
    result = ToolResult(call_id=done.id, content=[Part(text="booked")])
    message = Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=done)])
    request.messages.extend([message, Message(role=ROLE_TOOL, parts=[Part(tool_result=result)])])
    await served.client.gateway.Generate(request)
    called, returned = (each["parts"][0] for each in backend.last["contents"][1:])
    assert called["thoughtSignature"] == "c2ln"
    assert called["functionCall"]["args"] == arguments
    assert returned["functionResponse"]["id"] == called["functionCall"]["id"]


# Streams


async def test_each_chunk_is_forwarded_at_once(served, backend):
    go_on = asyncio.Event()
    backend.will(Answer([sse(chunk({"text": "one"})), go_on, sse(chunk({"text": "two"}, finish="STOP"))]))
    seen = []
    async for event in served.client.stream(asks()):
        seen.append(event)
        if event.WhichOneof("event") == "text_delta":
            go_on.set()
    assert [each.text_delta.text for each in seen if each.HasField("text_delta")] == ["one", "two"]


async def test_single_bytes_give_the_same_reply(served, backend):
    backend.will(Answer([bytes([each]) for each in sse(*text_chunks("你", "好"))]))
    assert text_of(await served.client.events(asks())) == "你好"


@pytest.mark.parametrize("ending", [[CUT], []], ids=["cut", "closed"])
async def test_a_stream_that_breaks_is_truncated(served, backend, ending):
    backend.will(Answer([sse(*text_chunks("Good", " eve", finish=None)), *ending]))
    events = await served.client.events(asks())
    assert (text_of(events), finish_of(events)) == ("Good eve", "truncated")
    assert events[-1].finished.truncated


@pytest.mark.parametrize("ending", [HANG, CUT])
async def test_a_connection_that_stays_open_after_the_finish_reason_does_no_harm(
    served, backend, monkeypatch, ending
):
    monkeypatch.setattr("clawdbot_model_gateway.http.response_stream.FINISH_TIMEOUT", 0.05)
    backend.will(Answer([sse(*text_chunks("Yes.")), ending]))
    started_at = time.monotonic()
    events = await served.client.events(asks())
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")
    assert time.monotonic() - started_at < 30


async def test_a_stream_may_come_as_a_list(served, backend):
    backend.will(whole(text_chunks("All", " at", " once.")))
    events = await served.client.events(asks())
    check_grammar(events)
    assert text_of(events) == "All at once."


@METHODS
async def test_a_blocked_prompt_is_a_reply_without_text(served, backend, method):
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counts(output=None)}
    backend.will(whole(blocked) if method == "generate" else Answer([sse(blocked)]))
    reply = await served.client.run(asks(), method)
    assert "PROHIBITED_CONTENT" in str(reply)
    assert "FINISH_REASON_CONTENT_FILTER" in str(reply)


@pytest.mark.parametrize("moment", ["before the answer", "in the middle"])
async def test_cancelling_a_call_closes_the_backends_connection(served, backend, monkeypatch, moment):
    monkeypatch.setattr(
        "clawdbot_model_gateway.http.pool.DRAIN_TIMEOUT", 60
    )  # so that it is not what closes it
    backend.will(HOLD if moment == "before the answer" else Answer([sse(chunk({"text": "Good"})), HANG]))
    running = served.client.stream(asks())
    reading = asyncio.create_task(_drain(running))
    await asyncio.wait_for(backend.busy.wait(), 20)
    running.cancel()
    await asyncio.wait_for(backend.gone.wait(), 20)
    await reading
    assert backend.left == 1


async def _drain(running):
    with pytest.raises(asyncio.CancelledError):
        async for _ in running:
            pass


async def test_an_error_in_the_middle_comes_after_the_text_before_it(served, backend):
    backend.will(Answer([sse(chunk({"text": "Good"}), status(500, "An internal error has occurred."))]))
    running, seen = served.client.stream(asks()), []
    with pytest.raises(AioRpcError) as raised:  # noqa: PT012 - the events before it are what is tested
        async for event in running:
            seen.append(event)  # noqa: PERF401 - a comprehension would lose them
    assert kinds(seen) == ["started", "text_delta"]
    assert remote_error(raised.value).reason == "BACKEND_FAILED"
    assert served.idle


# Errors

PER_DAY = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
ERRORS = [
    (error(400, WRONG_KEY, None, reason("API_KEY_INVALID")), "FAILED_PRECONDITION", "BACKEND_AUTH"),
    (error(429, "slow down", None, retry("7s")), "RESOURCE_EXHAUSTED", "BACKEND_RATE_LIMITED"),
    (error(429, "no more", None, PER_DAY, retry("7s")), "RESOURCE_EXHAUSTED", "BACKEND_QUOTA"),
    (error(404, "models/x is not found"), "NOT_FOUND", "BACKEND_MODEL_MISSING"),
    (error(400, "Unknown name"), "INVALID_ARGUMENT", "BACKEND_REFUSED_REQUEST"),
    (error(400, "The input token count (9) exceeds the maximum"), "INVALID_ARGUMENT", "CONTEXT_TOO_LONG"),
    (error(503, "The model is overloaded."), "UNAVAILABLE", "BACKEND_OVERLOADED"),
    (error(504, "Deadline expired"), "UNAVAILABLE", "BACKEND_TIMEOUT"),
    (Answer([b"<title>Login</title>"], content_type="text/html"), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (whole({}), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (whole([]), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (whole({"candidates": []}), "UNAVAILABLE", "BACKEND_PROTOCOL"),
    (Answer([], 302, {"Location": "http://127.0.0.1:1/"}), "UNAVAILABLE", "BACKEND_PROTOCOL"),
]


@METHODS
@pytest.mark.parametrize("case", ERRORS)
async def test_each_error_has_its_status_and_reason(served, backend, method, case):
    answer, code, reason = case
    backend.will(answer)
    error = await served.client.fault(asks(), method)
    assert (error.code, error.reason) == (code, reason)
    assert error.message.startswith(f"gemini/{MODEL}: ")
    assert KEY not in error.message
    assert served.idle


@METHODS
async def test_retry_after_is_passed_on(served, backend, method):
    backend.will(error(429, "slow down", None, retry("7.5s")))
    assert (await served.client.fault(asks(), method)).retry_after == 7.5
    backend.will(error(429, "no more", None, PER_DAY, retry("7s")))
    assert (await served.client.fault(asks(), method)).retry_after is None


async def test_a_wrong_key_is_reported_without_showing_it(backend, tmp_path):
    async with gateway(tmp_path, model=model(backend.url, api_key="AIzaSyWrong0123456789")) as served:
        described = " ".join(served.application.describe()["models"])
        error = await served.client.fault(asks())
    assert error.reason == "BACKEND_AUTH"
    assert "AIzaSyWrong" not in described + error.message


@METHODS
async def test_a_request_that_may_have_been_worked_on_is_not_sent_again(served, backend, method):
    backend.will(DROP)
    assert (await served.client.fault(asks(), method)).reason == "BACKEND_FAILED"
    assert len(backend.asked) == 1


async def test_silence_is_a_timeout(backend, tmp_path):
    timeouts = {"read_timeout": 0.1, "idle_timeout": 0.1}
    async with gateway(tmp_path, model=model(backend.url, http=timeouts)) as served:
        for silence in (HOLD, Answer([sse(chunk({"text": ""})), HANG])):
            backend.will(silence)
            assert (await served.client.fault(asks(), "stream")).reason == "BACKEND_TIMEOUT"
        assert served.idle


async def test_an_endless_event_is_a_protocol_violation(served, backend):
    megabyte = b"x" * 2**20
    backend.will(Answer([b"data: ", *([megabyte] * (MAX_EVENT_BYTES // len(megabyte) + 1)), HANG]))
    assert (await served.client.fault(asks(), "stream")).reason == "BACKEND_PROTOCOL"
    await asyncio.wait_for(backend.gone.wait(), 20)
