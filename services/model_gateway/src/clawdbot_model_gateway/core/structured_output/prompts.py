"""How a form is asked for where there is no field for it: by a tool that takes it, or in words."""

from __future__ import annotations

from typing import Final, Literal

import orjson
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, JsonFormat, ToolChoice
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core.structured_output.spec import Form

Way = Literal["tool", "words"]

TOOL: Final = "answer"
"""The name of the tool that takes the answer, where the form has none."""
TOOL_DESCRIPTION: Final = "Takes your whole answer. Call it once; say nothing besides."
PLEASE: Final = "Answer with one JSON object and nothing else: no words around it, no code fence."
PLEASE_FIT: Final = (
    "Answer with one JSON value that fits the JSON Schema below, and with nothing else: no words around it, "
    "no code fence.\n"
)
AGAIN: Final = (
    "That answer does not fit:\n{fault}\nGive the whole answer again, corrected, and nothing besides it."
)
LONGEST_REPEATED: Final = 20_000
"""Characters of a wrong answer that are shown to the model again."""


def way_for(form: Form, request: GenerateRequest, forms: frozenset[str]) -> Way:
    """By a tool where the model can be made to call one and has no others; else in words."""
    return "tool" if "tool" in forms and form.of_object and not request.tools else "words"


def first_request(request: GenerateRequest, form: Form, way: Way, forms: frozenset[str]) -> GenerateRequest:
    """The request with the form asked for in that way."""
    asked = GenerateRequest()
    asked.CopyFrom(request)
    asked.ClearField("response_format")
    if way == "tool":
        spec = asked.tools.add(name=form.name or TOOL, description=TOOL_DESCRIPTION)
        spec.input_schema.CopyFrom(to_struct(form.schema))
        asked.tool_choice.mode, asked.tool_choice.name = ToolChoice.MODE_NAMED, spec.name
        return asked
    if "json" in forms:
        asked.response_format.json.CopyFrom(JsonFormat())
    wish = PLEASE if form.kind == "json" else PLEASE_FIT + orjson.dumps(dict(form.schema)).decode()
    if asked.messages[0].role == ROLE_SYSTEM:
        # One word of the system: many chat templates take no second one.
        asked.messages[0].parts.add(text=f"\n\n{wish}")
        return asked
    rest = list(asked.messages)
    asked.ClearField("messages")
    asked.messages.add(role=ROLE_SYSTEM, parts=[Part(text=wish)])
    asked.messages.extend(rest)
    return asked


def second_request(first: GenerateRequest, answer: str, call: ToolCall | None, fault: str) -> GenerateRequest:
    """The same once more, with what was wrong.

    Args:
        first: the first request.
        answer: its answer.
        call: the call that held it, where it was one.
        fault: what does not fit.
    """
    again = GenerateRequest()
    again.CopyFrom(first)
    told = AGAIN.format(fault=fault)
    if call is not None:
        again.messages.add(role=ROLE_ASSISTANT, parts=[Part(tool_call=call)])
        result = ToolResult(call_id=call.id, name=call.name, is_error=True, content=[Part(text=told)])
        again.messages.add(role=ROLE_TOOL, parts=[Part(tool_result=result)])
        return again
    shown = answer[:LONGEST_REPEATED] or "(nothing)"
    again.messages.append(Message(role=ROLE_ASSISTANT, parts=[Part(text=shown)]))
    again.messages.append(Message(role=ROLE_USER, parts=[Part(text=told)]))
    return again
