"""What we send to Anthropic is what the types of its own client allow, fields and values alike."""

from __future__ import annotations

from functools import cache

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_NONE,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.formats.anthropic.models import ModelProfile
from clawdbot_model_gateway.formats.anthropic.request import RequestDefaults, RequestEncoder
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.support.generate_requests import asks, says, tool

PNG = Media(data=b"png", media_type="image/png")
OLD = ModelProfile(adaptive_thinking=False, budgeted_thinking=True, supports_effort=False)


def schema():
    response_format = ResponseFormat(json_schema=JsonSchemaFormat())
    response_format.json_schema.schema.update({"type": "object", "properties": {"x": {"type": "string"}}})
    return response_format


REQUESTS = {
    "a question": asks(),
    "instructions": asks(says("Be brief.", ROLE_SYSTEM), "Hi"),
    "media": asks(
        Message(
            role=ROLE_USER,
            parts=[
                Part(image=PNG),
                Part(image=Media(uri="https://a.example/b.png")),
                Part(document=Document(data=b"%PDF", media_type="application/pdf", title="Menu")),
                Part(document=Document(data=b"text", media_type="text/plain")),
                Part(document=Document(uri="https://a.example/b.pdf")),
            ],
        )
    ),
    "a round of tool calls": asks(
        "A table",
        Message(
            role=ROLE_ASSISTANT,
            parts=[
                Part(reasoning=Reasoning(text="hm", signature=b"c2ln")),
                Part(reasoning=Reasoning(signature=b"cmVk", redacted=True)),
                Part(text="One moment."),
                Part(tool_call=ToolCall(id="t1", name="tables.reserve")),
            ],
        ),
        Message(
            role=ROLE_TOOL,
            parts=[
                Part(
                    tool_result=ToolResult(
                        call_id="t1", content=[Part(text="no"), Part(image=PNG)], is_error=True
                    )
                )
            ],
        ),
        tools=[tool("tables.reserve", "Books.", people={"type": "integer"})],
        tool_choice=ToolChoice(mode=ToolChoice.MODE_AUTO, disable_parallel=True),
    ),
    "a forced tool": asks(
        tools=[tool("t")], tool_choice=ToolChoice(mode=ToolChoice.MODE_NAMED, name="t", disable_parallel=True)
    ),
    "no tool": asks(tools=[tool("t")], tool_choice=ToolChoice(mode=ToolChoice.MODE_NONE)),
    "thinking": asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH, "stop": ["#"]}),
    "no thinking": asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE, "max_tokens": 9}),
    "a response format": asks(response_format=schema()),
}


class Sent(message_create_params.MessageCreateParamsStreaming):
    __pydantic_config__ = ConfigDict(extra="forbid")


class Counted(message_count_tokens_params.MessageCountTokensParams):
    __pydantic_config__ = ConfigDict(extra="forbid")


@cache
def allowed(kind):
    """Validates JSON against a type of the client, without further fields. Slow to create."""
    return TypeAdapter(kind)


@pytest.mark.parametrize("profile", [ModelProfile(), OLD], ids=["new", "old"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_the_vendors_client_could_have_sent_it(request_name, profile):
    defaults = RequestDefaults(body={"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    encoder, request = RequestEncoder("anthropic", defaults), REQUESTS[request_name]
    allowed(Sent).validate_json(encoder.encode(request, "claude", profile).body)
    allowed(Counted).validate_json(encoder.encode_count(request, "claude", profile))


def test_a_field_that_the_vendor_does_not_know_would_be_found():
    encoded = RequestEncoder("anthropic", RequestDefaults()).encode(
        asks(sampling={"temperature": 0.5}), "claude", ModelProfile()
    )
    with pytest.raises(ValidationError, match="temperature"):
        allowed(Sent).validate_json(encoded.body)
