"""What vendors demand and refuse, seen by callers of the gateway: the next target, the reason, the advice."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTEXT_FULL,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_UNKNOWN,
)
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_model_client.accumulator import accumulate

from tests.support.fake_openai import (
    KEY,
    Answer,
    chunk,
    completion,
    error,
    fake_openai,
    sse,
    text_chunks,
    whole,
)
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, tool

RPCS = pytest.mark.parametrize("rpc", ["generate", "stream"])


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def larger():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def served(tmp_path, backend, larger):
    models = {
        "backends": {
            "small": compatible(backend.url, models=["m"], api_key=KEY),
            "large": compatible(larger.url, models=["m"], api_key=KEY),
        },
        "aliases": {"chat": ["small/m", {"target": "large/m", "fallback": True}]},
    }
    async with gateway(tmp_path, models=models) as each:
        yield each


@RPCS
@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "Range of input length should be [1, 98304]"),
        error(413, "Request too large on tokens per minute (TPM): Limit 6000, Requested 42084"),
        error(400, "'url' field must be a base64 encoded image."),
        error(404, "No endpoints found that support tool use."),
        whole({"error": {"message": "prompt is too long", "code": 400}}),
        Answer(
            [sse({"error": {"message": "Your input exceeds the context window of this model.", "code": 400}})]
        ),
    ],
    ids=["context", "limit", "media", "no endpoint", "inside a 200", "inside a stream"],
)
async def test_the_fallback_is_asked_where_it_may_do_better(served, backend, larger, rpc, refusal):
    backend.will(refusal)
    await served.client.run(asks(model="chat"), rpc)
    assert len(larger.asked) == 1


@RPCS
async def test_a_content_filter_is_not_passed_by_through_another_vendor(served, backend, larger, rpc):
    backend.will(error(400, "The response was filtered", "content_filter"))
    fault = await served.client.fault(asks(model="chat"), rpc)
    assert (fault.code, fault.reason) == ("INVALID_ARGUMENT", "BACKEND_CONTENT_FILTER")
    assert larger.asked == []


async def test_a_limit_that_waiting_never_mends_has_no_retry_info(served, backend):
    backend.will(error(429, "on tokens per min (TPM): Limit 6000, Requested 42084", "rate_limit_exceeded"))
    fault = await served.client.fault(asks(model="small/m"))
    assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "BACKEND_LIMIT_TOO_SMALL")
    assert fault.retry_after is None
    assert "Waiting does not help" in fault.message


@RPCS
async def test_thoughts_go_back_with_the_tools_result(tmp_path, backend, rpc):
    call = {"index": 0, "id": "c1", "function": {"name": "clock_now", "arguments": "{}"}}
    thinking = [chunk({"reasoning_content": "I need the clock."}), chunk({"tool_calls": [call]})]
    model = compatible(backend.url, api_key=KEY, vendor="deepseek")
    async with gateway(tmp_path, model=model) as served:
        backend.will(Answer([sse(*thinking, chunk({}, "tool_calls"))]))
        question = asks("When?", tools=[tool("clock.now")])
        events = await served.client.events(question)
        made = next(each.tool_call_done.tool_call for each in events if each.HasField("tool_call_done"))
        thought = "".join(each.reasoning_delta.text for each in events)
        parts = [Part(reasoning=Reasoning(text=thought)), Part(tool_call=made)]
        result = ToolResult(call_id=made.id, content=[Part(text="noon")])
        question.messages.add(role=ROLE_ASSISTANT, parts=parts)
        question.messages.add(role=ROLE_TOOL, parts=[Part(tool_result=result)])
        await served.client.run(question, rpc)
    assert backend.last["messages"][1]["reasoning_content"] == "I need the clock."


@pytest.mark.parametrize("vendor", ["mistral", None])
async def test_a_vendor_that_refuses_the_field_gets_no_thoughts(tmp_path, backend, vendor):
    parts = [Part(reasoning=Reasoning(text="hm")), Part(tool_call=ToolCall(id="c1", name="clock.now"))]
    result = Part(tool_result=ToolResult(call_id="c1", content=[Part(text="noon")]))
    messages = [Message(role=ROLE_ASSISTANT, parts=parts), Message(role=ROLE_TOOL, parts=[result])]
    model = compatible(backend.url, api_key=KEY, **({"vendor": vendor} if vendor else {}))
    async with gateway(tmp_path, model=model) as served:
        reply = await served.client.gateway.Generate(asks("When?", *messages))
    assert "hm" not in str(backend.last)
    assert [each.code for each in reply.warnings] == ["REASONING_LEFT_OUT"]


async def test_unsupported_holds_for_the_backends_own_settings(tmp_path, backend):
    model = compatible(backend.url, api_key=KEY, unsupported=["sampling.top_k"], top_k=4)
    async with gateway(tmp_path, model=model) as served:
        reply = await served.client.gateway.Generate(asks(strict=True))
    assert "top_k" not in backend.last
    assert [each.field for each in reply.warnings] == ["sampling.top_k"]


@pytest.mark.parametrize(
    "listed", [[{"id": "fake-1", "context_length": 8192}], [{"id": "fake-1"}, {"id": "fake-2"}]]
)
async def test_a_bare_list_of_models_is_read(tmp_path, backend, listed):
    backend.models = None
    backend.will(whole(listed))
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        assert "fake-1" in str(served.application.describe()["models"])


@pytest.mark.parametrize("listed", [{"object": "list", "data": None}, {"data": []}, []])
async def test_a_list_without_models_is_no_error(tmp_path, backend, listed):
    backend.models = None
    backend.will(whole(listed))
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        fault = await served.client.fault(asks())
    assert fault.reason == "BACKEND_MODEL_MISSING"
    assert "lists no models" in fault.message


@RPCS
@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("model_length", FINISH_REASON_CONTEXT_FULL),
        ("model_context_window_exceeded", FINISH_REASON_CONTEXT_FULL),
        ("length", FINISH_REASON_LENGTH),
        ("stop", FINISH_REASON_STOP),
        ("eos_token", FINISH_REASON_STOP),
        ("MAX_TOKENS", FINISH_REASON_LENGTH),
        ("something_new", FINISH_REASON_UNKNOWN),
    ],
)
async def test_a_finish_reason_means_what_the_vendor_means(tmp_path, backend, rpc, word, reason):
    stream = Answer([sse(*text_chunks("Well, ", finish=word))])
    backend.will(stream if rpc == "stream" else whole(completion(finish=word)))
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY, name="m")) as served:
        result = await served.client.run(asks(), rpc)
    end = result if rpc == "generate" else accumulate(result)
    assert (end.finish_reason, end.raw_finish_reason) == (reason, word)
    assert end.truncated is (reason in {FINISH_REASON_LENGTH, FINISH_REASON_CONTEXT_FULL})


@RPCS
async def test_a_vendor_that_only_streams_is_asked_for_a_stream(tmp_path, backend, rpc):
    model = compatible(backend.url, api_key=KEY, vendor="alibaba")
    async with gateway(tmp_path, model=model) as served:
        backend.will(Answer([sse(*text_chunks("Good", " evening"))]))
        reply = await served.client.run(asks(), rpc)
    assert backend.asked[-1].body["stream"] is True
    reply = accumulate(reply) if rpc == "stream" else reply
    assert reply.message.parts[0].text == "Good evening"


@RPCS
async def test_a_schema_that_the_vendor_refuses_is_emulated_and_checked(tmp_path, backend, rpc):
    request = asks()
    request.response_format.json_schema.schema.update(
        {"type": "object", "properties": {"people": {"type": "integer"}}}
    )
    text = '{"people": 4}'
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY, vendor="openai")) as served:
        backend.will(
            Answer([sse(*text_chunks(text))]) if rpc == "stream" else whole(completion({"content": text}))
        )
        reply = await served.client.run(request, rpc)
    assert "json_schema" not in str(backend.asked[-1].body.get("response_format"))
    reply = accumulate(reply) if rpc == "stream" else reply
    assert reply.message.parts[0].text == text
    assert [each.code for each in reply.warnings] == ["FORM_EMULATED"]
