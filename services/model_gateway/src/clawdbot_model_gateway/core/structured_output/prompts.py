"""Requests a format that a backend does not support: by a tool that receives the answer, or in the prompt."""

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

from clawdbot_model_gateway.core.structured_output.spec import FormatSpec

Method = Literal["tool", "prompt"]
"""How the format is requested."""

DEFAULT_TOOL_NAME: Final = "answer"
"""Name of the tool that receives the answer, where the schema has no name."""
TOOL_DESCRIPTION: Final = "Receives your complete answer. Call it exactly once and write nothing else."
JSON_PROMPT: Final = "Answer with one JSON object and nothing else: no text around it, no code fence."
SCHEMA_PROMPT: Final = (
    "Answer with one JSON value that matches the JSON Schema below, and nothing else: no text around it, "
    "no code fence.\n"
)
RETRY_PROMPT: Final = (
    "That answer does not match:\n{errors}\nGive the complete answer again, corrected, and nothing else."
)
MAX_REPEATED_CHARACTERS: Final = 20_000
"""Characters of a wrong answer that are sent back to the model."""


def choose_method(spec: FormatSpec, request: GenerateRequest, supported: frozenset[str]) -> Method:
    """A tool where the model can be forced to call one and the request has no tools; else the prompt."""
    return "tool" if "tool" in supported and spec.is_object and not request.tools else "prompt"


def initial_request(
    request: GenerateRequest, spec: FormatSpec, method: Method, supported: frozenset[str]
) -> GenerateRequest:
    """A copy of the request that asks for the format by this method."""
    emulated = GenerateRequest()
    emulated.CopyFrom(request)
    emulated.ClearField("response_format")
    if method == "tool":
        tool = emulated.tools.add(name=spec.name or DEFAULT_TOOL_NAME, description=TOOL_DESCRIPTION)
        tool.input_schema.CopyFrom(to_struct(spec.schema))
        emulated.tool_choice.mode, emulated.tool_choice.name = ToolChoice.MODE_NAMED, tool.name
        return emulated
    if "json" in supported:
        emulated.response_format.json.CopyFrom(JsonFormat())
    prompt = JSON_PROMPT if spec.kind == "json" else SCHEMA_PROMPT + orjson.dumps(dict(spec.schema)).decode()
    if emulated.messages[0].role == ROLE_SYSTEM:
        # Many chat templates reject a second system message.
        emulated.messages[0].parts.add(text=f"\n\n{prompt}")
        return emulated
    messages = list(emulated.messages)
    emulated.ClearField("messages")
    emulated.messages.add(role=ROLE_SYSTEM, parts=[Part(text=prompt)])
    emulated.messages.extend(messages)
    return emulated


def retry_request(first: GenerateRequest, answer: str, call: ToolCall | None, errors: str) -> GenerateRequest:
    """The first request, extended by its wrong answer and the validation errors.

    Args:
        first: the first request.
        answer: the answer to it.
        call: the tool call that contained the answer, if any.
        errors: what does not match.
    """
    retry = GenerateRequest()
    retry.CopyFrom(first)
    prompt = RETRY_PROMPT.format(errors=errors)
    if call is not None:
        retry.messages.add(role=ROLE_ASSISTANT, parts=[Part(tool_call=call)])
        result = ToolResult(call_id=call.id, name=call.name, is_error=True, content=[Part(text=prompt)])
        retry.messages.add(role=ROLE_TOOL, parts=[Part(tool_result=result)])
        return retry
    repeated = answer[:MAX_REPEATED_CHARACTERS] or "(nothing)"
    retry.messages.append(Message(role=ROLE_ASSISTANT, parts=[Part(text=repeated)]))
    retry.messages.append(Message(role=ROLE_USER, parts=[Part(text=prompt)]))
    return retry
