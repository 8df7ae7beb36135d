"""Decodes GenerateContentResponse into events: whole responses and the chunks of a stream alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.finish_reasons import meaning, reason_in
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.tool_call import CallIds, call_from_json
from clawdbot_model_gateway.formats.vendor_json import as_object, as_string, count_in, dump_exactly
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.error_payloads import reports_error

PROTO_NAMES: Final = {
    "promptFeedback": "prompt_feedback",
    "modelVersion": "model_version",
    "blockReason": "block_reason",
    "finishReason": "finish_reason",
    "thoughtSignature": "thought_signature",
    "functionCall": "function_call",
}


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. The stream ends with the connection; a block reason counts as a finish reason."""

    end_is_optional: ClassVar[bool] = True
    exact_marker: ClassVar[bytes] = b'"args"'

    def __init__(
        self,
        model: str,
        warnings: Sequence[Warning],
        names: ToolNames,
        errors: ErrorMapper,
        think_tags: ThinkTagModes | None = None,
    ) -> None:
        super().__init__(model, warnings, errors, think_tags)
        self._names = names
        self._calls = 0
        self._made: list[tuple[Any, str, str]] = []
        """Id, name and arguments of each call."""
        self._ids = CallIds("call")
        self._broken_call = False
        self._block_reason = ""

    @override
    def decode(self, chunk: Any, name: bytes, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            raise ProtocolViolation("the response is not a JSON object")
        if self._may_count:
            self._take_usage(chunk)
        if self._is_error(chunk, name):
            raise self._errors.from_payload(chunk)
        if "candidates" not in chunk and isinstance(chunk.get("response"), dict):
            chunk = chunk["response"]  # as Google's Code Assist API wraps it
        candidate, feedback = _first_candidate(chunk.get("candidates")), _field(chunk, "promptFeedback")
        if candidate is not None or feedback:
            self._start(_field(chunk, "modelVersion"), out)
        if isinstance(feedback, dict):
            self._block_reason = reason_in(_field(feedback, "blockReason")) or self._block_reason
            self.finish_reason = self._block_reason or self.finish_reason
        if candidate is not None:
            self._decode_candidate(candidate, out)

    @override
    def finish(self, out: list[Event]) -> None:
        reason = meaning(self.finish_reason)
        if self._block_reason:
            # Whatever the filter is called.
            reason = FINISH_REASON_CONTENT_FILTER
        elif reason == FINISH_REASON_STOP and self._broken_call:
            reason = FINISH_REASON_MODEL_ERROR
        elif reason == FINISH_REASON_STOP and self._calls:
            # Gemini has no finish reason of its own for tool calls.
            reason = FINISH_REASON_TOOL_CALLS
        self._start(None, out)
        self._end_text(reason, out)
        self._end_reply(reason, out)

    def _decode_candidate(self, candidate: Mapping[str, Any], out: list[Event]) -> None:
        before = len(out)
        for content in _objects(candidate.get("content"), "parts"):
            for part in _objects(content.get("parts"), "text"):
                self._decode_part(part, out)
        if reports_error(candidate):
            raise self._errors.from_payload(candidate)
        reason = self._block_reason or _field(candidate, "finishReason")
        self._take_reason(reason, with_content=len(out) > before)

    def _decode_part(self, part: Mapping[str, Any], out: list[Event]) -> None:
        signature = thought_signatures.wrap(_field(part, "thoughtSignature"))
        call = _field(part, "functionCall")
        if call is not None:
            self._decode_call(as_object(call), signature, out)
            return
        text = as_string(part.get("text"))
        if (thought := part.get("thought")) and thought != "false":
            self._text.add_reasoning(text or as_string(thought), out, signature)
            return
        self._text.add(text, out)
        if signature:
            # It belongs to the text, or to all that came before: it goes back after it, in its own part.
            out.append(events.reasoning_delta("", signature=signature))

    def _decode_call(self, call: Mapping[str, Any], signature: bytes, out: list[Event]) -> None:
        """A call comes at once, and often without an id."""
        name, arguments = self._names.from_wire(as_string(call.get("name"))), call.get("args")
        if not name:
            self._broken_call = True
            return
        key = call.get("id"), name, dump_exactly(arguments)
        if key[0] and key in self._made:
            return  # The same call once more.
        self._made.append(key)
        index = self._calls
        self._calls += 1
        call_id = self._ids.unique(call.get("id"))
        out.append(events.tool_call_started(index, call_id, name))
        done = call_from_json(call_id, name, arguments)
        if done is None:
            self._broken_call = True
            return
        done.signature = signature
        out.append(events.tool_call_delta(index, done.arguments_json))
        out.append(events.tool_call_done(index, done))


def _field(holder: Mapping[str, Any], name: str) -> Any:
    """A field, also under the name that it has in Google's protos: some servers send that."""
    return holder[name] if name in holder else holder.get(PROTO_NAMES[name])


def _first_candidate(candidates: Any) -> Mapping[str, Any] | None:
    """The candidate with index 0: we ask for one."""
    return next((each for each in _objects(candidates) if count_in(each, "index") == 0), None)


def _objects(value: Any, text_field: str = "") -> list[dict[str, Any]]:
    """The objects of a list, or the only one: some servers that imitate the API leave out a list of one.

    Some also send a text in place of an object that has nothing but this field.
    """
    values = value if isinstance(value, list) else [value]
    texts = ({text_field: each} if text_field and isinstance(each, str) else each for each in values)
    return [each for each in texts if isinstance(each, dict)]
