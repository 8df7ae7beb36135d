"""The gateway before the Responses API on a real socket: what goes over it, and what callers are told."""

from __future__ import annotations

import asyncio
import json

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, Message, Part, ToolResult
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_servicekit.error_table import remote_error
from grpc.aio import AioRpcError

from tests.support.fake_openai import CUT, HANG, HOLD, KEY, Answer, error
from tests.support.fake_responses import (
    MODEL,
    call,
    created,
    ended,
    fake_responses,
    item_events,
    message,
    reasoning,
    sse,
    streamed,
)
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, text_of, tool

BEGUN = (created(), *item_events(0, message("Good"))[:3])


@pytest.fixture
async def backend():
    async with fake_responses() as fake:
        yield fake


@pytest.fixture
async def served(backend, tmp_path):
    patience = {"read_timeout": 5, "idle_timeout": 5}
    model = {"provider": "openai", "endpoint": backend.url, "api_key": KEY, "http": patience}
    async with gateway(tmp_path, model=model) as each:
        backend.asked.clear()
        yield each


async def test_a_reply_goes_through_whole_and_in_pieces(served, backend):
    events = await served.client.events(asks())
    check_grammar(events)
    assert text_of(events) == "Good evening."
    reply = await served.client.gateway.Generate(asks())
    assert (reply.message.parts[0].text, reply.model, reply.backend) == ("Good evening.", MODEL, "openai")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)
    assert [(each.path, each.body["stream"]) for each in backend.asked] == [
        ("/v1/responses", True),
        ("/v1/responses", False),
    ]
    assert KEY not in json.dumps([each.body for each in backend.asked])


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_the_fallback_is_asked_if_a_reply_fails_without_a_reason(backend, tmp_path, rpc):
    main = {"provider": "openai", "endpoint": backend.url, "api_key": KEY, "models": ["m"]}
    aliases = {"chat": ["main/m", {"target": "spare/m", "fallback": True}]}
    spare = {"provider": "echo", "models": ["m"]}
    async with gateway(
        tmp_path, models={"backends": {"main": main, "spare": spare}, "aliases": aliases}
    ) as each:
        backend.will(Answer([sse(created(), ended(status="failed", error=None))]))
        result = await each.client.run(asks("Hello", model="chat"), rpc)
    reply = result if rpc == "generate" else accumulate(result)
    assert (reply.backend, reply.message.parts[0].text) == ("spare", "Hello")


async def test_a_tool_is_called_and_its_result_goes_back_with_the_thoughts(served, backend):
    arguments = {"note": "x" * 100_000}
    made = call("tables_reserve", json.dumps(arguments))
    backend.will(Answer([sse(*streamed(reasoning("Hm."), made, size=50_000))]))
    request = asks(tools=[tool("tables.reserve")])
    events = await served.client.events(request)
    assert finish_of(events) == "tool_calls"
    result = ToolResult(call_id="call_1", content=[Part(text="booked")])
    request.messages.extend(
        [accumulate(events).message, Message(role=ROLE_TOOL, parts=[Part(tool_result=result)])]
    )
    await served.client.gateway.Generate(request)
    thinking, called, answered = backend.last["input"][1:]
    assert thinking == {key: reasoning("Hm.")[key] for key in thinking}
    assert json.loads(called["arguments"]) == arguments
    assert answered == {"type": "function_call_output", "call_id": "call_1", "output": "booked"}


async def test_bytes_may_come_one_by_one(served, backend):
    backend.will(Answer([bytes([each]) for each in sse(*streamed(message("你好")), newline="\r\n")]))
    assert text_of(await served.client.events(asks())) == "你好"


@pytest.mark.parametrize("ending", [[CUT], []], ids=["cut", "closed"])
async def test_a_stream_that_breaks_is_truncated_and_never_success(served, backend, ending):
    backend.will(Answer([sse(*BEGUN), *ending]))
    events = await served.client.events(asks())
    assert (text_of(events), finish_of(events)) == ("Good", "truncated")


@pytest.mark.parametrize("answer", [HOLD, Answer([sse(*BEGUN), HANG])], ids=["before", "in the middle"])
async def test_a_cancel_reaches_the_backend(served, backend, answer):
    backend.will(answer)
    running = served.client.stream(asks())

    async def drain():
        with pytest.raises(asyncio.CancelledError):
            async for _ in running:
                pass

    reading = asyncio.create_task(drain())
    await asyncio.wait_for(backend.busy.wait(), 20)
    running.cancel()
    await asyncio.wait_for(backend.gone.wait(), 20)
    await reading
    assert backend.left == 1


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (error(401, f"Incorrect API key: {KEY}", "invalid_api_key"), "FAILED_PRECONDITION", "BACKEND_AUTH"),
        (error(429, "slow", "rate_limit_exceeded"), "RESOURCE_EXHAUSTED", "BACKEND_RATE_LIMITED"),
        (error(529, "busy"), "UNAVAILABLE", "BACKEND_OVERLOADED"),
    ],
)
async def test_a_failure_is_told_by_its_reason_and_without_the_key(served, backend, answer, status, reason):
    backend.will(answer)
    with pytest.raises(AioRpcError) as failed:
        await served.client.gateway.Generate(asks())
    assert (failed.value.code().name, remote_error(failed.value).reason) == (status, reason)
    assert KEY not in str(failed.value)


async def test_texts_are_embedded(served):
    reply = await served.client.gateway.Embed(EmbedRequest(model="openai/text-embedding-fake", texts=["abc"]))
    assert reply.embeddings[0].values[0] == 3.0
