"""What we send to the Responses API is what the types of OpenAI's own client allow."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_LOW,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.responses.request import ModelProfile, RequestDefaults, RequestEncoder
from openai.types.responses import (
    ResponseInputItemParam,
    ToolParam,
    response_create_params,
    response_text_config_param,
)
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from tests.support.fake_responses import reasoning, streamed
from tests.support.generate_requests import asks, says, tool
from tests.support.responses_streams import reply_to

IMAGE = Part(image=Media(data=b"x", media_type="image/png"))
QUESTION = Message(
    role=ROLE_USER,
    parts=[Part(text="Hi"), IMAGE, Part(document=Document(data=b"%PDF", media_type="application/pdf"))],
)
RESULT = ToolResult(call_id="c1", content=[Part(text="booked"), IMAGE])


@pytest.fixture
def body():
    reply = accumulate(reply_to(*streamed(reasoning("Hm.")))).message
    reply.parts.extend([Part(text="Yes."), Part(tool_call=ToolCall(id="c1", name="tables.reserve"))])
    request = asks(
        says("Be brief.", ROLE_SYSTEM),
        QUESTION,
        reply,
        Message(role=ROLE_TOOL, parts=[Part(tool_result=RESULT)]),
        says("Now.", ROLE_SYSTEM),
        says("Hm.", ROLE_ASSISTANT),
        tools=[tool("tables.reserve", "Books.")],
        tool_choice=ToolChoice(mode=ToolChoice.MODE_NAMED, name="tables.reserve", disable_parallel=True),
        response_format=ResponseFormat(json_schema=JsonSchemaFormat(name="table")),
        sampling={"max_tokens": 99, "reasoning_effort": REASONING_EFFORT_LOW},
    )
    defaults = RequestDefaults(reasoning_summary="auto")
    encoded = RequestEncoder("openai", ModelProfile(), defaults).encode(request, "gpt-6")
    assert encoded.warnings == []
    return json.loads(encoded.create_body(stream=False))


def test_each_field_is_one_of_the_vendors(body):
    assert set(body) <= set(ResponseCreateParamsNonStreaming.__annotations__) | set(
        response_create_params.ResponseCreateParamsBase.__annotations__
    )


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("input", list[ResponseInputItemParam]),
        ("tools", list[ToolParam]),
        ("tool_choice", response_create_params.ToolChoice),
        ("text", response_text_config_param.ResponseTextConfigParam),
        ("reasoning", response_create_params.Reasoning),
        ("include", list[response_create_params.ResponseIncludable]),
    ],
)
def test_each_value_is_of_the_vendors_type(body, field, kind):
    TypeAdapter(kind).validate_python(body[field])
