"""Chat Completions' JSON as the events of a reply, for whole replies and for pieces of one alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

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

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_calls import ToolCalls
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.http import VendorErrors

WORDS: Final = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
}
"""finish_reason → ours; any other word is UNKNOWN."""

THOUGHTS: Final = ("reasoning_content", "reasoning")
"""Where servers put what the model thinks: DeepSeek and older vLLM, newer vLLM and OpenRouter. Never both."""

LARGEST_COUNT: Final = 2**53
"""Tokens. What is larger is no count."""


class ReplyReader:
    """Reads one reply."""

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: VendorErrors
    ) -> None:
        """Args: model: what was asked for, shown where the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._calls = ToolCalls(names)
        self._usage: Mapping[str, Any] | None = None
        self._begun = False
        self._refused = False
        self.said = False
        """Whether there was anything of the reply yet."""
        self.word = ""
        """The vendor's finish reason, once it has come; only usage may follow."""

    def take(self, chunk: Any) -> list[Event]:
        """The events of one JSON object.

        Raises:
            ModelFailure: it is an error, or no object.
        """
        if not isinstance(chunk, dict):
            raise ProtocolViolation("it sent something that is no JSON object")
        if chunk.get("error") or chunk.get("object") == "error":
            raise self._errors.in_band(chunk)
        found: list[Event] = []
        if not self._begun:
            self._begun = True
            found.append(events.started(_text(chunk.get("model")) or self._model, self._warnings))
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        choice = _first_choice(chunk.get("choices"))
        if choice is not None:
            self._choice(choice, found)
        return found

    def end(self) -> list[Event]:
        """The last events: tool calls, usage, and why it ended."""
        reason = events.finish_reason(self.word, WORDS)
        found: list[Event] = [] if self._begun else [events.started(self._model, self._warnings)]
        whole = [*self._calls.done(found)]
        if reason == FINISH_REASON_STOP:
            # A forced call ends in "stop", as does a refusal.
            if self._refused:
                reason = FINISH_REASON_REFUSAL
            elif whole:
                reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not all(whole):
            reason = FINISH_REASON_MODEL_ERROR
        if self._usage is not None:
            partial = reason == FINISH_REASON_TRUNCATED
            found.append(events.used(_usage(self._usage, partial=partial)))
        found.append(events.finished(reason, self.word))
        return found

    def _choice(self, choice: dict[str, Any], found: list[Event]) -> None:
        delta = choice.get("delta") or choice.get("message")
        before = len(found)
        if isinstance(delta, dict):
            self._delta(delta, found)
        self.said = self.said or len(found) > before
        word = choice.get("finish_reason")
        if word is not None and word != "":
            self.word = str(word)

    def _delta(self, delta: dict[str, Any], found: list[Event]) -> None:
        thought = next((text for key in THOUGHTS if (text := _text(delta.get(key)))), "")
        if thought:
            found.append(events.reasoning(thought))
        content = delta.get("content")
        if content:
            found.extend(_content(content))
        refusal = _text(delta.get("refusal"))
        if refusal:
            self._refused = True
            found.append(events.text(refusal))
        calls = delta.get("tool_calls")
        if calls:
            self._calls.take(calls, found)
        elif delta.get("function_call"):
            # The form before tool calls: one call, without an id.
            self._calls.take([{"index": 0, "function": delta["function_call"]}], found)


def _first_choice(choices: Any) -> dict[str, Any] | None:
    """The choice of index 0: we ask for one, and some servers number it nowhere."""
    if not isinstance(choices, list):
        return None
    for each in choices:
        if isinstance(each, dict) and not each.get("index"):
            return each
    return None


def _content(content: Any) -> Iterator[Event]:
    """Text, or a list of typed parts, in which Mistral's reasoning models send thoughts as well."""
    if isinstance(content, str):
        yield events.text(content)
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                thought = part.get("thinking")
                pieces = thought if isinstance(thought, list) else [{"text": thought}]
                text = "".join(_text(each.get("text")) for each in pieces if isinstance(each, dict))
                if text:
                    yield events.reasoning(text)
            elif text := _text(part.get("text")):
                yield events.text(text)


def _usage(usage: Mapping[str, Any], *, partial: bool) -> Usage:
    told = Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        # DeepSeek's field for it.
        cached_tokens=_count(usage, "prompt_cache_hit_tokens"),
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    if prompt:
        told.cached_tokens = _count(prompt, "cached_tokens") or told.cached_tokens
        told.audio_tokens = _count(prompt, "audio_tokens")
    if completion:
        told.reasoning_tokens = _count(completion, "reasoning_tokens")
        told.audio_tokens += _count(completion, "audio_tokens")
    return told


def _count(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and 0 <= value < LARGEST_COUNT else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
