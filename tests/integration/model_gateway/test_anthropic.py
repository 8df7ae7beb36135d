"""The gateway in front of Anthropic: whole conversations, from the caller to the bytes sent and back."""

from __future__ import annotations

import asyncio
import json

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TOOL_CALLS
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, Part, ToolCall, ToolResult
from clawdbot.common.v1.usage_pb2 import UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_LOW
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    CountTokensRequest,
)
from clawdbot_model_client.accumulator import accumulate

from tests.support.fake_anthropic import (
    KEY,
    MODEL,
    begin,
    calls,
    delta,
    end,
    error,
    error_event,
    fake_anthropic,
    message,
    reply,
    says,
    sse,
    start,
    stop,
    thinks,
)
from tests.support.fake_openai import CUT, HANG, HOLD, Answer
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, text_of, tool

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


@pytest.fixture
async def backend():
    async with fake_anthropic() as fake:
        yield fake


@pytest.fixture
async def served(backend, tmp_path):
    model = {"provider": "anthropic", "endpoint": backend.url, "api_key": KEY}
    async with gateway(tmp_path, model=model) as each:
        backend.asked.clear()
        yield each


async def test_replies_arrive_with_and_without_streaming(served):
    events = await served.client.events(asks())
    check_grammar(events)
    assert (text_of(events), finish_of(events)) == ("Good evening.", "stop")
    whole = await served.client.gateway.Generate(asks())
    assert (whole.message.parts[0].text, whole.model, whole.backend) == ("Good evening.", MODEL, "anthropic")
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (7, 3)
    assert whole.usage.provenance == UsageProvenance.USAGE_PROVENANCE_REPORTED


@METHODS
async def test_calls_of_two_turns_that_share_an_id_are_sent_apart(served, backend, method):
    turns = [
        Message(role=role, parts=[part])
        for text in ("one", "two")
        for role, part in (
            (ROLE_ASSISTANT, Part(tool_call=ToolCall(id="call_0", name="clock.now"))),
            (ROLE_TOOL, Part(tool_result=ToolResult(call_id="call_0", content=[Part(text=text)]))),
        )
    ]
    await served.client.run(asks("When?", *turns, tools=[tool("clock.now")]), method)
    _, first, one, second, two = (each["content"][0] for each in backend.last["messages"])
    assert first["id"] == one["tool_use_id"] == "call_0"
    assert second["id"] == two["tool_use_id"] != "call_0"
    assert [each["content"][0]["text"] for each in (one, two)] == ["one", "two"]


@METHODS
async def test_a_whole_reply_may_begin_with_a_byte_order_mark(served, backend, method):
    body = b"\xef\xbb\xbf" + json.dumps(message({"type": "text", "text": "Hi"})).encode()
    backend.will(Answer([body], content_type="application/json"))
    result = await served.client.run(asks(), method)
    reply = result if method == "generate" else accumulate(result)
    assert reply.message.parts[0].text == "Hi"


@METHODS
async def test_a_call_beside_a_tool_that_the_vendor_runs_is_complete(served, backend, method):
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
    first = [
        begin(),
        start(0, search),
        delta(0, "input_json_delta", partial_json='{"query": "x"}'),
        stop(0),
        start(1, found),
        stop(1),
        start(2, {"type": "tool_use", "id": "toolu_1", "name": "clock_now", "input": '{"zone": 1}'}),
        stop(2),
        *end("tool_use"),
    ]
    backend.will(Answer([sse(*first)]))
    result = await served.client.run(asks(tools=[tool("clock.now")]), method)
    reply = result if method == "generate" else accumulate(result)
    (part,) = reply.message.parts
    assert (part.tool_call.name, part.tool_call.arguments_json) == ("clock.now", '{"zone":1}')
    assert reply.finish_reason == FINISH_REASON_TOOL_CALLS


@METHODS
async def test_thinking_and_calls_go_back_unchanged_with_their_results(served, backend, method):
    """What the model sent goes back byte for byte, in its order, followed by the results."""
    redacted = {"type": "redacted_thinking", "data": "cmVk"}
    first = [
        begin(),
        *thinks("They want", " a table.", signature="c2lnbmVk"),
        start(1, redacted),
        stop(1),
        *says("One moment.", index=2),
        *calls("tables_reserve", '{"people"', ": 4}", call_id="toolu_1", index=3),
        *calls("clock_now", "{}", call_id="toolu_2", index=4),
        *end("tool_use"),
    ]
    backend.will(Answer([sse(*first)]), Answer([sse(*reply("Booked."))]))
    tools = [tool("tables.reserve"), tool("clock.now")]
    request = asks(
        "A table for 4", tools=tools, sampling={"reasoning_effort": REASONING_EFFORT_LOW, "max_tokens": 2000}
    )
    if method == "generate":
        message = (await served.client.gateway.Generate(request)).message
    else:
        message = accumulate(await served.client.events(request)).message
    results = [
        Part(tool_result=ToolResult(call_id="toolu_1", content=[Part(text="no table")], is_error=True)),
        Part(tool_result=ToolResult(call_id="toolu_2", content=[Part(text="19:00")])),
    ]
    again = asks("A table for 4", message, Message(role=ROLE_TOOL, parts=results), tools=tools)
    answer = await served.client.gateway.Generate(again)
    assert answer.message.parts[0].text == "Booked."
    assert backend.last["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "They want a table.", "signature": "c2lnbmVk"},
                redacted,
                {"type": "text", "text": "One moment."},
                {"type": "tool_use", "id": "toolu_1", "name": "tables_reserve", "input": {"people": 4}},
                {"type": "tool_use", "id": "toolu_2", "name": "clock_now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "no table"}],
                    "is_error": True,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "19:00"}],
                },
            ],
        },
    ]


@pytest.mark.parametrize("end", ["", "/v1"])
async def test_the_vendors_variables_are_enough(backend, tmp_path, end):
    """As on a machine that runs the vendor's own client, whose base URL ends before the version."""
    variables = {"base_url": backend.url.removesuffix("/v1") + end, "api_key": KEY}
    async with gateway(tmp_path, gateway={"anthropic": variables, "ollama": None}) as served:
        reply = await served.client.gateway.Generate(asks())
    assert (reply.backend, reply.model) == ("anthropic", MODEL)


async def test_tokens_are_counted_by_the_vendor(served, backend):
    request = asks(tools=[tool("clock.now")])
    counted = await served.client.gateway.CountTokens(CountTokensRequest(request=request))
    assert (counted.tokens, counted.source) == (42, TOKEN_COUNT_SOURCE_BACKEND)
    assert backend.asked[-1].path == "/v1/messages/count_tokens"
    assert [each["name"] for each in backend.last["tools"]] == ["clock_now"]


async def test_each_piece_is_forwarded_at_once(served, backend):
    go_on = asyncio.Event()
    backend.will(
        Answer(
            [
                sse(begin(), start(0, {"type": "text", "text": ""}), delta(0, "text_delta", text="one")),
                go_on,
                sse(delta(0, "text_delta", text="two"), stop(0), *end()),
            ]
        )
    )
    seen = []
    async for event in served.client.stream(asks()):
        seen.append(event)
        if event.HasField("text_delta"):
            go_on.set()
    assert [each.text_delta.text for each in seen if each.HasField("text_delta")] == ["one", "two"]


async def test_a_stream_that_breaks_is_truncated(served, backend):
    for ending in ([CUT], []):
        backend.will(Answer([sse(begin(), *says("Good"), *end()[:1]), *ending]))
        events = await served.client.events(asks())
        assert (text_of(events), finish_of(events)) == ("Good", "truncated")
        assert events[-2].usage.provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL


ERRORS = [
    (error(401, "authentication_error", f"invalid key {KEY}"), ("FAILED_PRECONDITION", "BACKEND_AUTH")),
    (
        error(429, "rate_limit_error", **{"Retry-After": "7"}),
        ("RESOURCE_EXHAUSTED", "BACKEND_RATE_LIMITED"),
    ),
    (error(402, "billing_error"), ("RESOURCE_EXHAUSTED", "BACKEND_QUOTA")),
    (error(529, "overloaded_error", "Overloaded"), ("UNAVAILABLE", "BACKEND_OVERLOADED")),
    (Answer([sse(error_event("overloaded_error", "Overloaded"))]), ("UNAVAILABLE", "BACKEND_OVERLOADED")),
    (error(404, "not_found_error", f"model: {MODEL}"), ("NOT_FOUND", "BACKEND_MODEL_MISSING")),
    (error(400, "invalid_request_error", "prompt is too long"), ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")),
    (
        error(400, "invalid_request_error", "max_tokens: too many"),
        ("INVALID_ARGUMENT", "BACKEND_REFUSED_REQUEST"),
    ),
]


@METHODS
@pytest.mark.parametrize(("answer", "expected"), ERRORS)
async def test_each_error_has_its_status_and_contains_no_key(served, backend, answer, expected, method):
    backend.will(answer)
    error = await served.client.fault(asks(), method)
    assert (error.code, error.reason) == expected
    assert KEY not in error.message
    assert served.idle


@METHODS
@pytest.mark.parametrize("answer", [HOLD, Answer([sse(begin(), *says("Ye")), HANG])])
async def test_cancelling_a_call_closes_the_backends_connection(served, backend, answer, method):
    backend.will(answer)
    task = asyncio.create_task(served.client.run(asks(), method))
    await asyncio.wait_for(backend.busy.wait(), 20)
    task.cancel()
    await asyncio.wait_for(backend.gone.wait(), 20)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.left == 1
