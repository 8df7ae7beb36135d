"""What we send to Anthropic is what its own client's types allow, fields and values alike."""

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
from clawdbot_model_gateway.formats.anthropic.models import ModelFacts
from clawdbot_model_gateway.formats.anthropic.request import RequestWriter, Usual
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.support.generating import asks, says, tool

PNG = Media(data=b"png", media_type="image/png")
OLD = ModelFacts(adaptive=False, budgeted=True, effort=False)


def schema():
    form = ResponseFormat(json_schema=JsonSchemaFormat())
    form.json_schema.schema.update({"type": "object", "properties": {"x": {"type": "string"}}})
    return form


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
    "a round": asks(
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
    "thought": asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH, "stop": ["#"]}),
    "no thought": asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE, "max_tokens": 9}),
    "a form": asks(response_format=schema()),
}


class Sent(message_create_params.MessageCreateParamsStreaming):
    __pydantic_config__ = ConfigDict(extra="forbid")


class Counted(message_count_tokens_params.MessageCountTokensParams):
    __pydantic_config__ = ConfigDict(extra="forbid")


@cache
def allowed(kind):
    """What holds JSON to a type of the client's, in which no other field may be. Slow to make."""
    return TypeAdapter(kind)


@pytest.mark.parametrize("facts", [ModelFacts(), OLD], ids=["new", "old"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_the_vendors_client_could_have_sent_it(request_name, facts):
    kept = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    writer, request = RequestWriter("anthropic", Usual(body=kept)), REQUESTS[request_name]
    allowed(Sent).validate_json(writer.write(request, "claude", facts).body)
    allowed(Counted).validate_json(writer.write_count(request, "claude", facts))


def test_a_field_that_the_vendor_does_not_know_would_be_seen():
    written = RequestWriter("anthropic", Usual()).write(
        asks(sampling={"temperature": 0.5}), "claude", ModelFacts()
    )
    with pytest.raises(ValidationError, match="temperature"):
        allowed(Sent).validate_json(written.body)
