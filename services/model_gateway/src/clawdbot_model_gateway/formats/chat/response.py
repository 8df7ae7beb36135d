"""Decodes Chat Completions' JSON into events: whole responses and the chunks of a stream alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_CONTEXT_FULL,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.reasoning_details import ReasoningDetails
from clawdbot_model_gateway.formats.chat.tool_calls import ToolCallAccumulator
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.chat.usage import decode_usage, find_usage
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string
from clawdbot_model_gateway.http import ErrorMapper

FINISH_REASONS: Final = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "model_length": FINISH_REASON_CONTEXT_FULL,  # Mistral
    "model_context_window_exceeded": FINISH_REASON_CONTEXT_FULL,  # Zhipu
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
    "sensitive": FINISH_REASON_CONTENT_FILTER,  # Zhipu
}
"""finish_reason → ours; any other is UNKNOWN."""

DONE: Final = b"[DONE]"
"""What comes after the last chunk of a stream."""


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. Usage may follow its finish reason, which some servers send with every piece."""

    end_marker: ClassVar[bytes] = DONE
    end_is_optional: ClassVar[bool] = True

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
        self._details = ReasoningDetails()
        self._refused = False

    @override
    def decode(self, chunk: Any, name: bytes, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            raise ProtocolViolation("the response is not a JSON object")
        if chunk.get("error") or name == b"error" or chunk.get("object") == "error":
            self._find_usage(chunk)
            raise self._errors.from_payload(chunk)
        self._start(chunk.get("model"), out)
        choice = _first_choice(chunk.get("choices"))
        if choice is None or choice.get("finish_reason") or choice.get("error"):
            self._find_usage(chunk)
        elif isinstance(usage := chunk.get("usage"), dict):
            self._report_usage(decode_usage(usage))
        if choice is not None:
            self._decode_choice(choice, out)

    @override
    def finish(self, out: list[Event]) -> None:
        reason = events.finish_reason(self.finish_reason, FINISH_REASONS)
        self._start(None, out)
        self._end_text(reason, out)
        if signature := self._details.signature():
            out.append(events.reasoning_delta("", signature=signature))
        complete = [*self._calls.finish(out)]
        if reason == FINISH_REASON_STOP:
            # A forced call ends in "stop", and so does a refusal.
            if self._refused:
                reason = FINISH_REASON_REFUSAL
            elif complete:
                reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not all(complete):
            reason = FINISH_REASON_MODEL_ERROR
        self._end_reply(reason, out)

    def _find_usage(self, chunk: dict[str, Any]) -> None:
        for found in find_usage(chunk):
            self._report_usage(found)

    def _decode_choice(self, choice: dict[str, Any], out: list[Event]) -> None:
        delta = choice.get("delta") or choice.get("message")
        before = len(out)
        if isinstance(delta, dict):
            self._decode_delta(delta, out)
        if choice.get("error"):
            raise self._errors.from_payload(choice)
        self._take_reason(str(choice.get("finish_reason") or ""), with_content=len(out) > before)

    def _decode_delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        # Of DeepSeek and older vLLM; of newer vLLM and OpenRouter.
        reasoning = as_string(delta.get("reasoning_content")) or as_string(delta.get("reasoning"))
        if reasoning:
            self._text.add_reasoning(reasoning, out)
        if details := delta.get("reasoning_details"):
            self._details.add(details)
        content = delta.get("content")
        if content:
            self._decode_content(content, out)
        refusal = as_string(delta.get("refusal"))
        if refusal:
            self._refused = True
            self._text.add(refusal, out)
        calls = delta.get("tool_calls")
        if calls:
            self._calls.add(calls, out)
        elif delta.get("function_call"):
            # The predecessor of tool calls: one call, without an id.
            self._calls.add([{"index": 0, "function": delta["function_call"]}], out)

    def _decode_content(self, content: Any, out: list[Event]) -> None:
        """Text, or a list of typed parts, in which Mistral's reasoning models also send their reasoning."""
        if isinstance(content, str):
            self._text.add(content, out)
        elif isinstance(content, list):
            for part in content:
                if not isinstance(part, dict):
                    continue
                if part.get("type") == "thinking":
                    thinking = part.get("thinking")
                    parts = thinking if isinstance(thinking, list) else [{"text": thinking}]
                    for each in parts:
                        self._text.add_reasoning(as_string(as_object(each).get("text")), out)
                else:
                    self._text.add(as_string(part.get("text")), out)


def _first_choice(choices: Any) -> dict[str, Any] | None:
    """The choice with index 0: we ask for one, and some servers send no index."""
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return None
