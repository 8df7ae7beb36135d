"""The gateway before Anthropic: whole conversations, from the caller to the bytes on the wire and back."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, Message, Part, ToolResult
from clawdbot.common.v1.usage_pb2 import UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_LOW
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    CountTokensRequest,
)
from clawdbot_model_gateway.core.accumulator import fold

from tests.support.fake_anthropic import (
    KEY,
    MODEL,
    begin,
    calls,
    delta,
    end,
    error,
    failed,
    fake_anthropic,
    reply,
    says,
    sse,
    start,
    stop,
    thinks,
)
from tests.support.fake_openai import CUT, HANG, HOLD, Answer
from tests.support.gateway_service import gateway
from tests.support.generating import asks, check_grammar, finish_of, text_of, tool

WAYS = pytest.mark.parametrize("way", ["stream", "generate"])


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


async def test_a_reply_goes_through_whole_and_in_pieces(served):
    events = await served.client.events(asks())
    check_grammar(events)
    assert (text_of(events), finish_of(events)) == ("Good evening.", "stop")
    whole = await served.client.gateway.Generate(asks())
    assert (whole.message.parts[0].text, whole.model, whole.backend) == ("Good evening.", MODEL, "anthropic")
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (7, 3)
    assert whole.usage.provenance == UsageProvenance.USAGE_PROVENANCE_REPORTED


@WAYS
async def test_thoughts_calls_and_results_go_round_as_the_vendor_wants_them(served, backend, way):
    """What the model sent comes back to it byte for byte, in its order, with the results behind it."""
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
    asked = asks(
        "A table for 4", tools=tools, sampling={"reasoning_effort": REASONING_EFFORT_LOW, "max_tokens": 2000}
    )
    if way == "generate":
        message = (await served.client.gateway.Generate(asked)).message
    else:
        message = fold(await served.client.events(asked)).message
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
    """As a fresh machine has them that runs the vendor's own client; it ends its URL before the version."""
    said = {"base_url": backend.url.removesuffix("/v1") + end, "api_key": KEY}
    async with gateway(tmp_path, gateway={"anthropic": said, "ollama": None}) as served:
        reply = await served.client.gateway.Generate(asks())
    assert (reply.backend, reply.model) == ("anthropic", MODEL)


async def test_tokens_are_counted_by_the_vendor(served, backend):
    request = asks(tools=[tool("clock.now")])
    told = await served.client.gateway.CountTokens(CountTokensRequest(request=request))
    assert (told.tokens, told.source) == (42, TOKEN_COUNT_SOURCE_BACKEND)
    assert backend.asked[-1].path == "/v1/messages/count_tokens"
    assert [each["name"] for each in backend.last["tools"]] == ["clock_now"]


async def test_pieces_are_passed_on_as_they_come(served, backend):
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


async def test_a_stream_that_breaks_is_truncated_and_never_success(served, backend):
    for ending in ([CUT], []):
        backend.will(Answer([sse(begin(), *says("Good"), *end()[:1]), *ending]))
        events = await served.client.events(asks())
        assert (text_of(events), finish_of(events)) == ("Good", "truncated")
        assert events[-2].usage.provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL


FAULTS = [
    (error(401, "authentication_error", f"invalid key {KEY}"), ("FAILED_PRECONDITION", "BACKEND_AUTH")),
    (
        error(429, "rate_limit_error", **{"Retry-After": "7"}),
        ("RESOURCE_EXHAUSTED", "BACKEND_RATE_LIMITED"),
    ),
    (error(402, "billing_error"), ("RESOURCE_EXHAUSTED", "BACKEND_QUOTA")),
    (error(529, "overloaded_error", "Overloaded"), ("UNAVAILABLE", "BACKEND_OVERLOADED")),
    (Answer([sse(failed("overloaded_error", "Overloaded"))]), ("UNAVAILABLE", "BACKEND_OVERLOADED")),
    (error(404, "not_found_error", f"model: {MODEL}"), ("NOT_FOUND", "BACKEND_MODEL_MISSING")),
    (error(400, "invalid_request_error", "prompt is too long"), ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")),
    (
        error(400, "invalid_request_error", "max_tokens: too many"),
        ("INVALID_ARGUMENT", "BACKEND_REFUSED_REQUEST"),
    ),
]


@WAYS
@pytest.mark.parametrize(("answer", "expected"), FAULTS)
async def test_a_failure_has_its_status_and_tells_no_key(served, backend, answer, expected, way):
    backend.will(answer)
    fault = await served.client.fault(asks(), way)
    assert (fault.code, fault.reason) == expected
    assert KEY not in fault.message
    assert served.idle


@WAYS
@pytest.mark.parametrize("answer", [HOLD, Answer([sse(begin(), *says("Ye")), HANG])])
async def test_a_cancelled_call_reaches_the_backend(served, backend, answer, way):
    backend.will(answer)
    task = asyncio.create_task(served.client.run(asks(), way))
    await asyncio.wait_for(backend.busy.wait(), 5)
    task.cancel()
    await asyncio.wait_for(backend.gone.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.left == 1
