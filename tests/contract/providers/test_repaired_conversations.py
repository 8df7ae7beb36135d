"""Calls and results that do not belong together are repaired, with a warning: every vendor refuses them."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Media,
    Message,
    Part,
    Reasoning,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import JsonFormat, ResponseFormat

from tests.support import fake_responses
from tests.support.fake_openai import whole
from tests.support.generate_requests import asks, calling, says
from tests.support.wires import RPCS, TOOLS, WIRES, answer, served, text

INTERRUPTED = "There is no result: the conversation was interrupted before the tool had answered."


@pytest.fixture(params=WIRES)
def wire(request):
    return WIRES[request.param]


def results(*ids, said="noon"):
    parts = [Part(tool_result=ToolResult(call_id=each, content=[Part(text=said)])) for each in ids]
    return Message(role=ROLE_TOOL, parts=parts)


def calls_and_results(body):
    """Each call and each result that was sent, in order, and what comes between them as "…"."""
    found = []
    for item in body.get("messages") or body.get("contents") or body["input"]:
        content = item.get("content")
        blocks = content if isinstance(content, list) else item.get("parts", [])
        calls = [each["id"] for each in item.get("tool_calls") or []]
        calls += [each["id"] for each in blocks if each.get("type") == "tool_use"]
        calls += [each["functionCall"]["id"] for each in blocks if "functionCall" in each]
        calls += [item["call_id"]] if item.get("type") == "function_call" else []
        answers = [item["tool_call_id"]] if item.get("role") == "tool" else []
        answers += [each["tool_use_id"] for each in blocks if each.get("type") == "tool_result"]
        answers += [each["functionResponse"]["id"] for each in blocks if "functionResponse" in each]
        answers += [item["call_id"]] if item.get("type") == "function_call_output" else []
        found += [f"call {each}" for each in calls] + [f"result {each}" for each in answers]
        said = isinstance(content, str) and bool(content) and item.get("role") != "tool"
        if said or any("text" in each for each in blocks):
            found.append("…")
    return found


async def sent(tmp_path, wire, rpc, *messages):
    """The body for a conversation, and the warnings as (field, message)."""
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text("Done."), wire.whole("Done.")))
        reply = await client.run(asks(*messages, tools=TOOLS, strict=True), rpc)
        body = next(each.body for each in reversed(backend.asked) if each.body is not None)
    warnings = reply.warnings if rpc == "generate" else reply[0].started.warnings
    assert {each.code for each in warnings} <= {"CONVERSATION_REPAIRED"}
    return body, [(each.field, each.message) for each in warnings]


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("after", [["What now?"], [says("Hm.", ROLE_ASSISTANT), "What now?"], []])
async def test_a_call_without_a_result_is_answered_with_an_error(tmp_path, wire, rpc, after):
    body, warnings = await sent(tmp_path, wire, rpc, "When?", calling("c1", "c2"), results("c1"), *after)
    assert calls_and_results(body)[1:5] == ["call c1", "call c2", "result c1", "result c2"]
    assert INTERRUPTED in json.dumps(body)
    message = "1 tool call without a result: answered with an error."
    assert warnings == [("messages[1].parts[1].tool_call", message)]


async def test_each_of_several_broken_off_turns_is_answered(tmp_path, wire):
    body, warnings = await sent(
        tmp_path, wire, "generate", "A", calling("c1"), "B", calling("c2"), "C", calling("c3"), results("c3")
    )
    assert [each for each in calls_and_results(body) if each != "…"] == [
        *("call c1", "result c1", "call c2", "result c2", "call c3", "result c3"),
    ]
    assert warnings[0][1] == "2 tool calls without a result: answered with an error."


@pytest.mark.parametrize("rpc", RPCS)
async def test_a_result_without_a_call_is_left_out(tmp_path, wire, rpc):
    body, warnings = await sent(tmp_path, wire, rpc, results("c0", said="a secret"), "Hello")
    assert calls_and_results(body) == ["…"]
    assert "secret" not in json.dumps(body)
    assert warnings == [("messages[0].parts[0].tool_result", "1 tool result without a call: left out.")]


async def test_a_second_result_of_a_call_is_left_out(tmp_path, wire):
    again = results("c1", said="a secret")
    body, warnings = await sent(
        tmp_path, wire, "generate", "When?", calling("c1"), results("c1"), again, "Thanks"
    )
    assert calls_and_results(body)[1:3] == ["call c1", "result c1"]
    assert "secret" not in json.dumps(body)
    assert [field for field, _ in warnings] == ["messages[3].parts[0].tool_result"]


async def test_a_result_that_comes_late_comes_right_after_its_call(tmp_path, wire):
    conversation = ("A", calling("c1"), "B", calling("c2"), results("c2"), "C", results("c1"), "D")
    body, warnings = await sent(tmp_path, wire, "generate", *conversation)
    found = [each for each in calls_and_results(body) if each != "…"]
    assert found == ["call c1", "result c1", "call c2", "result c2"]
    assert warnings == []


async def test_calls_of_several_turns_may_have_one_id(tmp_path, wire):
    conversation = (
        "A",
        calling("c1"),
        results("c1"),
        "B",
        calling("c1"),
        results("c1", said="midnight"),
        "C",
    )
    body, warnings = await sent(tmp_path, wire, "generate", *conversation)
    found = [each for each in calls_and_results(body) if each != "…"]
    assert found[:2] == ["call c1", "result c1"]
    # Vendors want another id for the second.
    call, result = (each.split() for each in found[2:])
    assert (call[0], result[0]) == ("call", "result")
    assert call[1] == result[1] != "c1"
    sent_text = json.dumps(body)
    assert 0 < sent_text.index("noon") < sent_text.index("midnight")
    assert warnings == []


async def test_an_interrupted_call_does_not_take_the_result_of_a_later_one_with_its_id(tmp_path, wire):
    conversation = ("A", calling("c1"), "B", calling("c1"), results("c1"), "C")
    body, warnings = await sent(tmp_path, wire, "generate", *conversation)
    sent_text = json.dumps(body)
    assert 0 < sent_text.index(INTERRUPTED) < sent_text.index("noon")
    assert [field for field, _ in warnings] == ["messages[1].parts[0].tool_call"]


# Conversations that a format has no field for


@pytest.mark.parametrize("response_format", [None, ResponseFormat(json=JsonFormat())])
@pytest.mark.parametrize(
    "message",
    [
        Message(role=ROLE_ASSISTANT, parts=[Part(reasoning=Reasoning(text="Hm."))]),
        Message(role=ROLE_SYSTEM, parts=[Part(audio=Media(data=b"x", media_type="audio/flac"))]),
        Message(role=ROLE_USER, parts=[Part(audio=Media(data=b"x", media_type="audio/flac"))]),
    ],
    ids=["reasoning", "instructions", "question"],
)
async def test_a_request_is_never_without_a_message(tmp_path, wire, message, response_format):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, "generate", wire.text("{}"), wire.whole("{}")))
        request = asks(message)
        if response_format is not None:
            request.response_format.CopyFrom(response_format)
        assert text(await client.run(request, "generate")) == "{}"
        body = backend.last
    items = body.get("messages") or body.get("contents") or body["input"]
    assert items[-1].get("content") or items[-1].get("parts") or items[-1].get("thinking")


# Reasoning that nothing follows


def thought(signature):
    return Part(reasoning=Reasoning(text="Hm.", signature=signature))


LAST_THOUGHTS = {"responses": b"openai:rs_1:gAAA", "anthropic": b"c2ln"}


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("name", LAST_THOUGHTS)
async def test_reasoning_that_ends_a_message_is_left_out_with_a_warning(tmp_path, name, rpc):
    wire, signature = WIRES[name], LAST_THOUGHTS[name]
    kept = Message(role=ROLE_ASSISTANT, parts=[thought(signature), Part(text="Hello.")])
    last = Message(role=ROLE_ASSISTANT, parts=[Part(text="Well."), thought(signature), thought(signature)])
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text("Done."), wire.whole("Done.")))
        reply = await client.run(asks("Hi", kept, "And?", last, "So?"), rpc)
        body = json.dumps(backend.last)
    (warning,) = reply.warnings if rpc == "generate" else reply[0].started.warnings
    assert warning.code == "REASONING_LEFT_OUT"
    assert warning.field.startswith("messages[3].parts[")
    assert warning.message.endswith("2 parts left out.")
    assert body.count("Hm.") == 1
    assert "Well." in body


async def test_reasoning_before_a_call_of_the_next_message_is_kept(tmp_path):
    wire = WIRES["responses"]
    alone = Message(role=ROLE_ASSISTANT, parts=[thought(b"openai:rs_1:gAAA")])
    async with served(tmp_path, wire) as (backend, client):
        backend.will(whole(fake_responses.response(fake_responses.message("Done."))))
        reply = await client.run(asks("Hi", alone, calling("c1"), results("c1"), tools=TOOLS), "generate")
        types = [each.get("type") for each in backend.last["input"]]
    assert types == [None, "reasoning", "function_call", "function_call_output"]
    assert (list(reply.warnings), text(reply)) == ([], "Done.")
