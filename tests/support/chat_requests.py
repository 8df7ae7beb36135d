"""Encodes requests for Chat Completions, and builds the messages of a call and its result."""

from __future__ import annotations

import json

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_model_gateway.formats.chat.request import RequestDefaults, RequestEncoder


def encode(request, profile, model="m", **defaults):
    encoded = RequestEncoder("x", profile, RequestDefaults(defaults)).encode(request, model, stream=False)
    return json.loads(encoded.body), [each.field for each in encoded.warnings]


def called(call_id="c1", thought=None, signature=b""):
    reasoning = [] if thought is None else [Part(reasoning=Reasoning(text=thought, signature=signature))]
    call = Part(tool_call=ToolCall(id=call_id, name="clock.now"))
    return Message(role=ROLE_ASSISTANT, parts=[*reasoning, call])


def answered(call_id="c1", *content):
    part = Part(tool_result=ToolResult(call_id=call_id, content=[*content, Part(text="noon")]))
    return Message(role=ROLE_TOOL, parts=[part])
