"""Decodes Chat Completions' JSON into events: whole responses and the chunks of a stream alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
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
from clawdbot_model_gateway.formats.chat.pieces import Pieces
from clawdbot_model_gateway.formats.chat.reasoning_details import ReasoningDetails
from clawdbot_model_gateway.formats.chat.tool_calls import ToolCallAccumulator
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.finish_reasons import COMPLETE_REASONS, meaning, reason_in
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, dump_exactly
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.error_payloads import is_certain_error, is_coded_error, reports_error

REASONING: Final = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
"""The field's name: of DeepSeek and older vLLM, of newer vLLM and OpenRouter, Ollama's, of Copilot."""
OTHER_REASONS: Final = ("finishReason", "finish_details", "native_finish_reason")
"""Where a choice has its finish reason if not in `finish_reason`: of Java's proxies, of OpenAI's first vision
models, and of OpenRouter."""
TEXT_FIELDS: Final = ("text", "thinking", "reasoning", "summary", "value")
"""Fields of a part of the content, or of what is in one, that have its text."""
THOUGHTS: Final = ("thinking", "reasoning")
"""In the types of parts that are thoughts: Mistral's and Cohere's, Databricks'."""
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
        self._said = Pieces()
        self._thought = Pieces()
        self._in_messages = False
        """Whether the reply came in messages, whole or in pieces, and not in deltas."""
        self._refused = False

    @override
    def decode(self, chunk: Any, name: bytes, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            raise ProtocolViolation("the response is not a JSON object")
        if self._may_count:
            self._take_usage(chunk)
        if self._is_error(chunk, name):
            raise self._errors.from_payload(chunk)
        if "choices" not in chunk:
            chunk = _unwrapped(chunk)
        choices = _choices(chunk.get("choices"))
        if not choices:
            if self.begun and "choices" not in chunk and is_certain_error(chunk):
                raise self._errors.from_payload(chunk)
            return
        self._start(chunk.get("model"), out)
        for choice in choices:
            self._decode_choice(choice, _reason(choice), out)
        if self.finish_reason and not self.has_content and is_coded_error(chunk):
            # MiniMax's, beside a choice that says "stop".
            raise self._errors.from_payload(chunk)

    @override
    def finish(self, out: list[Event]) -> None:
        reason = meaning(self.finish_reason)
        self._start(None, out)
        self._end_thoughts(out)
        self._text.add(self._said.end(), out)
        self._end_text(reason, out)
        if signature := self._details.signature():
            out.append(events.reasoning_delta("", signature=signature))
        complete = [*self._calls.finish(out, names_cut=reason not in COMPLETE_REASONS)]
        if reason == FINISH_REASON_STOP:
            # A forced call ends in "stop", and so does a refusal.
            if self._refused:
                reason = FINISH_REASON_REFUSAL
            elif complete:
                reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not (complete and all(complete)):
            reason = FINISH_REASON_MODEL_ERROR
        self._end_reply(reason, out)

    def _decode_choice(self, choice: dict[str, Any], reason: str, out: list[Event]) -> None:
        before = len(out)
        delta, message = choice.get("delta"), choice.get("message")
        if delta is None and message is None:
            delta = choice.get("text")  # as of the API's predecessor
        if not isinstance(delta, dict):
            delta = _message(delta)
        elif reason and self._is_repeated_in(delta):
            delta, message = {}, delta
        if delta:
            self._decode_delta(delta, out)
        if message:
            message = _message(message)
            self._decode_message(message, out, whole=bool(reason), first=len(out) == before)
        for holder in (choice, delta, message) if self._may_fail else ():
            if holder and reports_error(holder):
                raise self._errors.from_payload(holder)
        self._take_reason(reason, with_content=len(out) > before)
        if reason and self.at_end:
            self.at_end = not self._lacks_answer(reason)

    def _decode_message(self, message: dict[str, Any], out: list[Event], *, whole: bool, first: bool) -> None:
        """A message in place of a delta: the reply, a piece of it, or all of it once more.

        Args:
            message: the message.
            out: the events are added here.
            whole: whether the record has a finish reason.
            first: whether it has nothing else.
        """
        if first and not self.has_content:
            before = len(out)
            self._decode_delta(message, out, whole=whole)
            self._in_messages = len(out) > before
        elif self._in_messages and not self._is_whole_so_far(message):
            self._decode_delta(message, out)
        else:
            self._decode_rest(message, out)

    def _lacks_answer(self, reason: str) -> bool:
        """Whether what the finish reason says has not come yet: the tool calls, or anything but thoughts."""
        if self._calls.begun:
            return False
        return not self._said or meaning(reason) == FINISH_REASON_TOOL_CALLS

    def _decode_delta(self, delta: dict[str, Any], out: list[Event], *, whole: bool = False) -> None:
        """A piece of a message; `whole`: all of it, so that each tool call is complete."""
        if details := delta.get("reasoning_details"):
            self._details.add(details)
        if reasoning := _reasoning(delta):
            self._add_reasoning(reasoning, out)
        content = delta.get("content")
        if content is None and "audio" in delta:
            content = as_object(delta["audio"]).get("transcript")
        if isinstance(content, str):
            if content:
                self._add_text(content, out)
        elif content:
            for thought, text in _parts(content):
                self._add_reasoning(thought, out)
                self._add_text(text, out)
        refusal = as_string(delta.get("refusal"))
        if refusal:
            self._refused = True
            self._add_text(refusal, out)
        if "tool_calls" in delta or "function_call" in delta:
            self._add_calls(delta, out, whole=whole)

    def _add_calls(self, delta: dict[str, Any], out: list[Event], *, whole: bool) -> None:
        calls = delta.get("tool_calls")
        if calls or delta.get("function_call"):
            self._end_thoughts(out)
            self._text.add(self._said.end(), out)
        if calls:
            several = isinstance(calls, list) and len(calls) > 1
            whole = whole or (several and self._calls.are_repeated_in(calls))
            (self._calls.add_whole if whole else self._calls.add)(calls, out)
        elif delta.get("function_call"):
            # The predecessor of tool calls: one call, without an id.
            self._calls.add([{"index": 0, "function": delta["function_call"]}], out)

    def _is_whole_so_far(self, message: dict[str, Any]) -> bool:
        """Whether a message repeats what came before it: some servers send one that grows."""
        thoughts, text = _texts(message)
        if self._said or self._thought:
            return None not in (self._thought.rest_of(thoughts), self._said.rest_of(text))
        return self._calls.are_repeated_in(message.get("tool_calls"))

    def _is_repeated_in(self, delta: dict[str, Any]) -> bool:
        """Whether a last delta is not a piece of the text but all of it once more."""
        text = delta.get("content")
        return isinstance(text, str) and self._said.are_repeated_in(text)

    def _decode_rest(self, message: dict[str, Any], out: list[Event]) -> None:
        """A whole message after its deltas: some servers repeat it at the end. What is missing is added."""
        thoughts, text = _texts(message)
        self._text.add_reasoning(self._thought.add_rest(thoughts), out)
        self._text.add(self._said.add_rest(text), out)
        self._refused = self._refused or bool(as_string(message.get("refusal")))
        if not self._details.signature():
            self._details.add(message.get("reasoning_details"))
        calls = message.get("tool_calls")
        if not calls and message.get("function_call"):
            calls = [{"function": message["function_call"]}]
        self._calls.add_whole(calls, out)

    def _add_text(self, piece: str, out: list[Event]) -> None:
        if piece:
            self._end_thoughts(out)
        self._text.add(self._said.add(piece), out)

    def _end_thoughts(self, out: list[Event]) -> None:
        """Shows the thoughts that are held before what follows them."""
        if rest := self._thought.end():
            self._text.add_reasoning(rest, out)

    def _add_reasoning(self, piece: str, out: list[Event]) -> None:
        self._text.add_reasoning(self._thought.add(piece), out)


def _message(value: Any) -> dict[str, Any]:
    """A message, or a piece of one; some servers send nothing but its text, or a list of one."""
    if isinstance(value, list):
        value = value[-1] if value else None
    return value if isinstance(value, dict) else {} if value is None else {"content": value}


def _reason(choice: dict[str, Any]) -> str:
    """The finish reason; some servers put it into the message, or say more than the word."""
    reason = choice.get("finish_reason")
    if reason is None:
        reason = as_object(choice.get("delta") or choice.get("message")).get("finish_reason")
        if reason is None and len(choice) > 1:
            reason = next((found for name in OTHER_REASONS if (found := choice.get(name))), None)
    return reason_in(as_object(reason).get("type", reason)) if reason else ""


def _reasoning(message: dict[str, Any]) -> str:
    """The reasoning in a message, or in a piece of it."""
    for name in REASONING:
        if (said := message.get(name)) and (text := said if isinstance(said, str) else _text_in(said)):
            return text
    details = message.get("reasoning_details")
    return _text_in(details) if details else ""


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """Thought and text of what is not simply a text: of typed parts, of a number, of a JSON document."""
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, dict):
            yield "", part if isinstance(part, str) else dump_exactly(part)
            continue
        kind, text = as_string(part.get("type")), _text_in(part)
        if any(each in kind for each in THOUGHTS):
            yield text, ""
        else:
            # A server that parses its answer sends an object that is not a part.
            yield "", text if kind or text else dump_exactly(part)


def _text_in(value: Any) -> str:
    """The text in a value: one, a list of them, or objects around them."""
    if isinstance(value, list):
        return "".join(map(_text_in, value))
    if isinstance(value, dict):
        return next(filter(None, (_text_in(value.get(name)) for name in TEXT_FIELDS)), "")
    return as_string(value)


def _texts(message: dict[str, Any]) -> tuple[str, str]:
    """All thoughts and all text of a message."""
    content, refusal = message.get("content"), as_string(message.get("refusal"))
    parts = [] if not content else [("", content)] if isinstance(content, str) else [*_parts(content)]
    thoughts = _reasoning(message) or "".join(thought for thought, _ in parts)
    return thoughts, "".join(text for _, text in parts) + refusal


def _unwrapped(chunk: dict[str, Any]) -> dict[str, Any]:
    """What is inside of another object, as in DashScope's own API, and behind proxies that wrap all."""
    inner = (as_object(chunk.get(name)) for name in ("output", "data", "result"))
    return next(({**chunk, **each} for each in inner if "choices" in each), chunk)


def _choices(choices: Any) -> list[dict[str, Any]]:
    """The choices with index 0: we ask for one, some servers send no index, and some split one in two."""
    choices = choices if isinstance(choices, list) else [choices]
    return [each for each in choices if isinstance(each, dict) and each.get("index") in (None, 0, "0", "")]
