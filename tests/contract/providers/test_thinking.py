"""Vendors whose models think, through both RPCs: what they refuse is not sent, over several rounds."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, Message, Part, ToolResult
from clawdbot.model_gateway.v1.generation_pb2 import ResponseFormat
from clawdbot_model_client.accumulator import accumulate

from tests.support.fake_openai import Answer, chunk, completion, fake_openai, sse, usage_chunk, whole
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, tool
from tests.support.wires import RPCS

CLOCK = [tool("clock.now")]
SCHEMA = {"type": "object", "properties": {"people": {"type": "integer"}}, "required": ["people"]}
VENDORS = ["deepseek", "moonshot", "siliconflow", "xiaomi"]


def a_call(call_id, thought):
    made = {"id": call_id, "type": "function", "function": {"name": "clock_now", "arguments": "{}"}}
    return {"content": None, "reasoning_content": thought, "tool_calls": [made]}


async def reply_of(client, request, rpc):
    result = await client.run(request, rpc)
    if rpc == "generate":
        return result.message
    return accumulate(result).message


def answer(rpc, message, finish):
    if rpc == "generate":
        return whole(completion(message, finish))
    pieces = [{"tool_calls": [{**each, "index": 0} for each in message["tool_calls"]]}]
    records = [chunk({"reasoning_content": message["reasoning_content"]}), *map(chunk, pieces)]
    return Answer([sse(*records, chunk({}, finish), usage_chunk())])


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_thoughts_of_each_round_go_back_with_the_next(tmp_path, vendor, rpc):
    async with fake_openai() as backend, gateway(tmp_path, model=compatible(backend.url, vendor=vendor)) as g:
        backend.will(
            *(answer(rpc, a_call(f"c{each}", f"thought {each}"), "tool_calls") for each in (1, 2, 3))
        )
        request = asks("When?", tools=CLOCK, model="default")
        for number in (1, 2, 3):
            said = await reply_of(g.client, request, rpc)
            result = ToolResult(call_id=f"c{number}", content=[Part(text="noon")])
            request.messages.extend([said, Message(role=ROLE_TOOL, parts=[Part(tool_result=result)])])
        sent = [each for each in backend.last["messages"] if each["role"] == "assistant"]
    assert [each["reasoning_content"] for each in sent] == ["thought 1", "thought 2"]


@pytest.mark.parametrize("rpc", RPCS)
async def test_a_schema_for_a_model_that_thinks_is_asked_for_without_thinking(tmp_path, rpc):
    made = {"index": 0, "id": "c1", "function": {"name": "answer", "arguments": '{"people": 4}'}}
    async with (
        fake_openai() as backend,
        gateway(tmp_path, model=compatible(backend.url, vendor="deepseek")) as running,
    ):
        if rpc == "generate":
            backend.will(whole(completion({"content": None, "tool_calls": [made]}, "tool_calls")))
        else:
            backend.will(Answer([sse(chunk({"tool_calls": [made]}), chunk({}, "tool_calls"), usage_chunk())]))
        form = ResponseFormat()
        form.json_schema.schema.update(SCHEMA)
        said = await reply_of(running.client, asks(response_format=form), rpc)
        sent = backend.last
    assert json.loads(said.parts[0].text) == {"people": 4}
    assert sent["thinking"] == {"type": "disabled"}
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
