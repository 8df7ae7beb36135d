"""Decodes a reply of /api/chat into events. Each line of its stream is one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core.errors import BackendFailed, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_calls import ARGUMENTS, ToolCallAccumulator
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.finish_reasons import meaning
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.tool_call import PLACEHOLDERS
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, dump_exactly
from clawdbot_model_gateway.http import ErrorMapper

THINKING: Final = ("thinking", "reasoning", "reasoning_content")
"""Ollama's field, and those of servers that imitate it."""


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. It is TRUNCATED without `done`, or without a reason.

    Ollama leaves the reason empty if its own connection to the model broke.
    """

    end_is_optional: ClassVar[bool] = True
    exact_marker: ClassVar[bytes] = b'"tool_calls"'

    def __init__(
        self,
        model: str,
        warnings: Sequence[Warning],
        names: ToolNames,
        errors: ErrorMapper,
        think_tags: ThinkTagModes | None = None,
    ) -> None:
        super().__init__(model, warnings, errors, think_tags)
        self._calls = ToolCallAccumulator(names)

    @override
    def decode(self, chunk: Any, name: bytes, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            raise ProtocolViolation("a line of the stream is not a JSON object")
        if self._may_count:
            self._take_usage(chunk)
        if self._is_error(chunk, name):
            raise self._errors.from_payload(_error_payload(chunk))
        message, done = chunk.get("message"), chunk.get("done")
        if not any(chunk.values()):
            return  # It only keeps the connection alive.
        if not isinstance(message, dict) and done is not True:
            nothing = "a line of the stream contains no message"
            raise ProtocolViolation(nothing) if self.begun else self._errors.from_no_reply(chunk, nothing)
        self._start(chunk.get("model"), out)
        before = len(out)
        if isinstance(message, dict):
            self._decode_message(message, out)
        with_content = len(out) > before
        reason = chunk.get("done_reason") if done is True else None
        self._take_reason(reason, with_content=with_content)
        if done is True:
            if not self.begun:
                raise BackendFailed("Ollama's connection to the model broke before the reply began")
            # Other servers say `done` with every piece of the reply, and may go on.
            self.ended = not with_content and (self.at_end or not self.has_content)

    @override
    def finish(self, out: list[Event]) -> None:
        self._start(None, out)
        reason = meaning(self.finish_reason)
        self._end_text(reason, out)
        complete = [*self._calls.finish(out)]
        if reason == FINISH_REASON_TOOL_CALLS or (reason == FINISH_REASON_STOP and complete):
            runnable = bool(complete) and all(complete)
            reason = FINISH_REASON_TOOL_CALLS if runnable else FINISH_REASON_MODEL_ERROR
        self._end_reply(reason, out)

    def _decode_message(self, message: dict[str, Any], out: list[Event]) -> None:
        thinking = next((said for name in THINKING if (said := as_string(message.get(name)))), "")
        content = message.get("content")
        if isinstance(content, list):
            # Of servers that imitate the API, in Chat Completions' parts.
            content = "".join(as_string(as_object(part).get("text")) for part in content)
        content = as_string(content)
        if thinking:
            self._text.add_reasoning(thinking, out)
        if content:
            self._text.add(content, out)
        calls = message.get("tool_calls")
        if isinstance(calls, dict):
            calls = [calls]
        if isinstance(calls, list):
            self._calls.add(list(map(_chat_tool_call, calls)), out)


def _error_payload(chunk: dict[str, Any]) -> dict[str, Any]:
    """The error in the form with a status, which the errors of remote models have."""
    status = chunk.get("StatusCode", chunk.get("status_code"))
    return {"error": {"code": status, "message": chunk.get("error")}} if isinstance(status, int) else chunk


def _chat_tool_call(call: Any) -> Any:
    """A call in Chat Completions' form: complete, and with its arguments as text.

    It drops the index, since Ollama numbers the calls of each line from 0.
    """
    if not isinstance(call, dict) or not isinstance(function := call.get("function"), dict):
        return call
    arguments: Any = next(
        (function[each] for each in ARGUMENTS if function.get(each) not in PLACEHOLDERS), {}
    )
    text = arguments if isinstance(arguments, str) else dump_exactly(arguments)
    return {"id": call.get("id"), "function": {"name": function.get("name"), "arguments": text}}
