"""What OpenRouter's vendors sign or encrypt goes back to OpenRouter, and to nobody else."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, Message, Part, ToolResult

from tests.support.fake_openai import KEY, Answer, chunk, completion, sse, whole
from tests.support.generate_requests import asks
from tests.support.wires import RPCS, TOOLS, WIRES, replies, served

CHAT = WIRES["chat"]
TEXT = {"type": "reasoning.text", "text": "I need the clock.", "signature": "c2ln", "index": 0}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "AbC=", "id": "c1", "index": 1}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "clock_now", "arguments": "{}"}}


def answer(rpc):
    if rpc == "generate":
        message = {"content": None, "reasoning_details": [TEXT, ENCRYPTED], "tool_calls": [CALL]}
        return whole(completion(message, "tool_calls"))
    pieces = [
        {**TEXT, "text": "I need ", "signature": None},
        {**TEXT, "text": "the clock."},
        ENCRYPTED,
    ]
    chunks = [chunk({"reasoning_details": [each]}) for each in pieces]
    return Answer([sse(*chunks, chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"))])


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("vendor", ["openrouter", "deepseek", "mistral"])
async def test_details_go_back_to_openrouter_alone(tmp_path, rpc, vendor):
    async with served(tmp_path, CHAT, vendor=vendor, api_key=KEY) as (backend, client):
        backend.will(answer(rpc))
        made = (await replies(client, rpc)).message
        result = Part(tool_result=ToolResult(call_id="c1", content=[Part(text="noon")]))
        again = asks("When?", made, Message(role=ROLE_TOOL, parts=[result]), tools=TOOLS)
        reply = await client.run(again, "generate")
        sent = next(each for each in backend.last["messages"] if each.get("tool_calls"))
    if vendor == "openrouter":
        assert sent["reasoning_details"] == [TEXT, ENCRYPTED]
        assert list(reply.warnings) == []
    else:
        assert "reasoning_details" not in sent
        assert [each.code for each in reply.warnings] == ["REASONING_LEFT_OUT"]
