"""Gemini's thought signatures over Chat Completions come with a call and go back with it, to Gemini alone."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, Part, ToolCall, ToolResult

from tests.support.fake_openai import KEY, Answer, chunk, completion, sse, whole
from tests.support.generate_requests import asks
from tests.support.wires import RPCS, TOOLS, WIRES, parts, replies, served

SIGNED = {"extra_content": {"google": {"thought_signature": "AbC+/=="}}}
CHAT = WIRES["chat"]


def wire_call(call_id, index=0, **more):
    function = {"name": "clock_now", "arguments": "{}"}
    return {"index": index, "id": call_id, "type": "function", "function": function, **more}


def answer(rpc, *calls):
    if rpc == "generate":
        return whole(completion({"content": None, "tool_calls": list(calls)}, "tool_calls"))
    return Answer([sse(*(chunk({"tool_calls": [each]}) for each in calls), chunk({}, "tool_calls"))])


def after(*calls):
    """A request that answers the calls."""
    results = [Part(tool_result=ToolResult(call_id=each.id, content=[Part(text="noon")])) for each in calls]
    made = Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=each) for each in calls])
    return asks("When?", made, Message(role=ROLE_TOOL, parts=results), tools=TOOLS)


def sent_calls(backend):
    return next(each["tool_calls"] for each in backend.last["messages"] if each.get("tool_calls"))


@pytest.mark.parametrize("rpc", RPCS)
async def test_a_signature_goes_back_with_its_call(tmp_path, rpc):
    async with served(tmp_path, CHAT, vendor="gemini", api_key=KEY) as (backend, client):
        backend.will(answer(rpc, wire_call("c1", **SIGNED), wire_call("c2", 1)))
        calls = parts(await replies(client, rpc), "tool_call")
        reply = await client.run(after(*calls), "generate")
        first, second = sent_calls(backend)
    assert first["extra_content"] == SIGNED["extra_content"]
    assert "extra_content" not in second
    assert list(reply.warnings) == []


async def test_a_signature_may_come_in_a_fragment_of_its_own(tmp_path):
    async with served(tmp_path, CHAT, vendor="gemini", api_key=KEY) as (backend, client):
        backend.will(answer("stream", wire_call("c1"), {"index": 0, **SIGNED}))
        (call,) = parts(await replies(client, "stream"), "tool_call")
        await client.run(after(call), "generate")
        assert sent_calls(backend)[0]["extra_content"] == SIGNED["extra_content"]


@pytest.mark.parametrize("vendor", ["openai", "deepseek", "mistral", "openrouter", None])
async def test_nobody_else_gets_it(tmp_path, vendor):
    more = {"api_key": KEY, **({"vendor": vendor} if vendor else {})}
    async with served(tmp_path, CHAT, **more) as (backend, client):
        backend.will(answer("generate", wire_call("c1", **SIGNED)))
        (call,) = parts(await replies(client, "generate"), "tool_call")
        reply = await client.run(after(call), "generate")
        assert "extra_content" not in sent_calls(backend)[0]
    assert [each.field for each in reply.warnings] == ["messages[1].parts[0].tool_call.signature"]


async def test_both_of_geminis_formats_take_the_others_signatures(tmp_path):
    native = WIRES["gemini"]
    async with served(tmp_path / "chat", CHAT, vendor="gemini", api_key=KEY) as (backend, client):
        backend.will(answer("generate", wire_call("c1", **SIGNED)))
        (call,) = parts(await replies(client, "generate"), "tool_call")
    async with served(tmp_path / "native", native) as (backend, client):
        backend.will(whole(native.whole("Noon.")))
        await client.run(after(call), "generate")
        assert backend.last["contents"][1]["parts"][0]["thoughtSignature"] == "AbC+/=="


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gemini-3-flash", "skip_thought_signature_validator"), ("gemini-2.5-flash", None)],
)
async def test_calls_that_gemini_3_did_not_make_are_marked_as_such(tmp_path, model, expected):
    calls = [ToolCall(id=each, name="clock.now", signature=b"another's") for each in ("c1", "c2")]
    async with served(tmp_path, CHAT, vendor="gemini", api_key=KEY, models=[model]) as (backend, client):
        request = after(*calls)
        request.model = f"openai_compatible/{model}"
        await client.run(request, "generate")
        first, second = sent_calls(backend)
    signature = first.get("extra_content", {"google": {}})["google"].get("thought_signature")
    assert (signature, "extra_content" in second) == (expected, False)
