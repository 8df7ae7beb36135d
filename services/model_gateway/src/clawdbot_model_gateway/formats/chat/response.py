"""Decodes Chat Completions' JSON into events: whole responses and the chunks of a stream alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
)
from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_PARTIAL,
    USAGE_PROVENANCE_REPORTED,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_calls import ToolCallAccumulator
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.vendor_json import as_string, count_in
from clawdbot_model_gateway.http import ErrorMapper

FINISH_REASONS: Final = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
}
"""finish_reason → ours; any other is UNKNOWN."""

REASONING_FIELDS: Final = ("reasoning_content", "reasoning")
"""Where servers put reasoning: DeepSeek and older vLLM, newer vLLM and OpenRouter. Only the first one found
is read."""


DONE: Final = b"[DONE]"
"""What comes after the last chunk of a stream."""


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. After its finish reason only usage may follow."""

    end_marker: ClassVar[bytes] = DONE
    end_is_optional: ClassVar[bool] = True

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: ErrorMapper
    ) -> None:
        super().__init__(model, warnings, errors)
        self._calls = ToolCallAccumulator(names)
        self._usage: Mapping[str, Any] | None = None
        self._refused = False

    @override
    def decode(self, chunk: Any, name: bytes, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            raise ProtocolViolation("the response is not a JSON object")
        if chunk.get("error") or name == b"error" or chunk.get("object") == "error":
            raise self._errors.from_payload(chunk)
        self._start(chunk.get("model"), out)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        choice = _first_choice(chunk.get("choices"))
        if choice is not None:
            self._decode_choice(choice, out)

    @override
    def finish(self, out: list[Event]) -> None:
        reason = events.finish_reason(self.finish_reason, FINISH_REASONS)
        self._start(None, out)
        complete = [*self._calls.finish(out)]
        if reason == FINISH_REASON_STOP:
            # A forced call ends in "stop", and so does a refusal.
            if self._refused:
                reason = FINISH_REASON_REFUSAL
            elif complete:
                reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not all(complete):
            reason = FINISH_REASON_MODEL_ERROR
        if self._usage is not None:
            partial = reason == FINISH_REASON_TRUNCATED
            out.append(events.usage(_decode_usage(self._usage, partial=partial)))
        out.append(events.finished(reason, self.finish_reason))

    def _decode_choice(self, choice: dict[str, Any], out: list[Event]) -> None:
        delta = choice.get("delta") or choice.get("message")
        before = len(out)
        if isinstance(delta, dict):
            self._decode_delta(delta, out)
        self.has_content = self.has_content or len(out) > before
        reason = choice.get("finish_reason")
        if reason is not None and reason != "":
            self.finish_reason = str(reason)

    def _decode_delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        reasoning = next((text for key in REASONING_FIELDS if (text := as_string(delta.get(key)))), "")
        if reasoning:
            out.append(events.reasoning_delta(reasoning))
        content = delta.get("content")
        if content:
            out.extend(_decode_content(content))
        refusal = as_string(delta.get("refusal"))
        if refusal:
            self._refused = True
            out.append(events.text_delta(refusal))
        calls = delta.get("tool_calls")
        if calls:
            self._calls.add(calls, out)
        elif delta.get("function_call"):
            # The predecessor of tool calls: one call, without an id.
            self._calls.add([{"index": 0, "function": delta["function_call"]}], out)


def _first_choice(choices: Any) -> dict[str, Any] | None:
    """The choice with index 0: we ask for one, and some servers send no index."""
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return None


def _decode_content(content: Any) -> Iterator[Event]:
    """Text, or a list of typed parts, in which Mistral's reasoning models also send their reasoning."""
    if isinstance(content, str):
        yield events.text_delta(content)
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                thinking = part.get("thinking")
                parts = thinking if isinstance(thinking, list) else [{"text": thinking}]
                text = "".join(as_string(each.get("text")) for each in parts if isinstance(each, dict))
                if text:
                    yield events.reasoning_delta(text)
            elif text := as_string(part.get("text")):
                yield events.text_delta(text)


def _decode_usage(usage: Mapping[str, Any], *, partial: bool) -> Usage:
    decoded = Usage(
        input_tokens=count_in(usage, "prompt_tokens"),
        output_tokens=count_in(usage, "completion_tokens"),
        # DeepSeek's field for it.
        cached_tokens=count_in(usage, "prompt_cache_hit_tokens"),
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    if prompt:
        decoded.cached_tokens = count_in(prompt, "cached_tokens") or decoded.cached_tokens
        decoded.audio_tokens = count_in(prompt, "audio_tokens")
    if completion:
        decoded.reasoning_tokens = count_in(completion, "reasoning_tokens")
        decoded.audio_tokens += count_in(completion, "audio_tokens")
    return decoded
