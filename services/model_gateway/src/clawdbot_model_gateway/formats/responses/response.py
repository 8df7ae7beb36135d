"""Decodes the Responses API into events: the events of a stream and whole responses alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_UNKNOWN,
    FinishReason,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core.errors import BackendFailed, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.finish_reasons import meaning
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.responses.output_items import OutputItems
from clawdbot_model_gateway.formats.text_joiner import well_formed
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.vendor_json import as_string
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.error_payloads import reports_error

TERMINAL_STATUSES: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""`response.` followed by one of these is the last event of a stream."""


DONE: Final = b"[DONE]"
"""What some servers send, as for Chat Completions. It ends the stream without a reason."""


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. Its finish reason is the vendor's status, with the reason of an incomplete reply."""

    end_marker: ClassVar[bytes] = DONE
    exact_marker: ClassVar[bytes] = b'"arguments"'

    def __init__(
        self,
        model: str,
        warnings: Sequence[Warning],
        names: ToolNames,
        errors: ErrorMapper,
        think_tags: ThinkTagModes | None = None,
    ) -> None:
        super().__init__(model, warnings, errors, think_tags)
        self._items = OutputItems(names, self._text)

    @override
    def decode(self, event: Any, name: bytes, out: list[Event]) -> None:
        """The event's name counts if its data contains no type."""
        if not isinstance(event, dict):
            raise ProtocolViolation("an event of the stream is not a JSON object")
        if self._may_count:
            self._take_usage(event)
        kind = str(event.get("type") or name.decode("utf-8", "replace"))
        output = event.get("output")
        if isinstance(output, list) and not event.get("type") and (output or event.get("status")):
            # A whole response: from a server that does not stream.
            self._start(_model_of(event), out)
            self._end(event, "completed", out)
            return
        if self._is_error(event, name) and not (self.has_content and kind.startswith("response.")):
            raise self._errors.from_payload(event)
        handle = _EVENT_HANDLERS.get(kind)
        if handle is not None or event.get("response"):
            self._start(_model_of(event.get("response")), out)
        before = len(out)
        if handle is not None:
            handle(self._items, event, out)
        elif kind.startswith("response.") and kind[len("response.") :] in TERMINAL_STATUSES:
            self._end(event.get("response"), kind[len("response.") :], out)
        elif kind == "response.done":
            # As of the vendor's Realtime API.
            self._end(event.get("response"), "", out)
        self.has_content = self.has_content or len(out) > before

    @override
    def finish(self, out: list[Event]) -> None:
        self._start(None, out)
        self._items.finish_texts(out)
        self._end_text(_meaning(self.finish_reason), out)
        completed = self.finish_reason == "completed"
        complete_calls = [*self._items.finish_calls(out, completed=completed)]
        reason, raw = self._reason(complete_calls), self.finish_reason
        if completed and reason == FINISH_REASON_UNKNOWN:
            raw = f"completed/{self._items.unsupported}"
        self._end_reply(reason, out, raw=raw)

    def _reason(self, complete_calls: list[bool]) -> FinishReason.ValueType:
        reason = _meaning(self.finish_reason)
        if reason != FINISH_REASON_STOP:
            return reason
        if self._items.refused:
            return FINISH_REASON_REFUSAL
        if self._items.unsupported:
            return FINISH_REASON_UNKNOWN
        if not complete_calls:
            return reason
        return FINISH_REASON_TOOL_CALLS if all(complete_calls) else FINISH_REASON_MODEL_ERROR

    def _end(self, response: Any, event_status: str, out: list[Event]) -> None:
        """Takes what the last event repeats, its usage and its status.

        Raises:
            ModelError: it failed before any content, so that another backend may be tried.
        """
        response = response if isinstance(response, dict) else {}
        before = len(out)
        self._items.final_output(response.get("output"), out)
        if len(out) == before and not self.has_content:
            # Some servers send only what OpenAI's clients make of it.
            self._text.add(as_string(response.get("output_text")), out)
        self.has_content = self.has_content or len(out) > before
        status = str(response.get("status") or event_status)
        if status not in TERMINAL_STATUSES and not self.has_content:
            return  # The reply has not begun.
        error = response.get("error")
        if reports_error(response) and not self.has_content and status != "incomplete":
            raise self._errors.from_payload(response)
        if status == "failed" and not self.has_content:
            raise BackendFailed("the reply failed, and the backend does not say why")
        if status == "failed" and isinstance(error, dict):
            status = f"failed/{error.get('code') or 'error'}"
        details = response.get("incomplete_details")
        if status == "incomplete" and isinstance(details, dict) and details.get("reason"):
            status = f"incomplete/{details['reason']}"
        self.finish_reason = well_formed(status)
        self.ended = True


EventHandler = Callable[[OutputItems, Mapping[str, Any], list[Event]], None]


def _text_handlers(event: str, text_type: str) -> dict[str, EventHandler]:
    return {
        f"response.{event}.delta": partial(_text_delta, text_type),
        f"response.{event}.done": partial(_text_done, text_type),
    }


def _text_delta(text_type: str, items: OutputItems, event: Mapping[str, Any], out: list[Event]) -> None:
    items.text_delta(text_type, event, out)


def _text_done(text_type: str, items: OutputItems, event: Mapping[str, Any], out: list[Event]) -> None:
    items.text_done(text_type, event, out)


_EVENT_HANDLERS: Final[Mapping[str, EventHandler]] = {
    "response.output_item.added": OutputItems.item_added,
    "response.output_item.done": OutputItems.item_done,
    "response.function_call_arguments.delta": OutputItems.arguments_delta,
    "response.function_call_arguments.done": OutputItems.arguments_done,
    **_text_handlers("output_text", "output_text"),
    **_text_handlers("refusal", "refusal"),
    **_text_handlers("reasoning_summary_text", "summary_text"),
    **_text_handlers("reasoning_text", "reasoning_text"),
    # Older names, which vLLM and others still send.
    **_text_handlers("reasoning_summary", "summary_text"),
    **_text_handlers("reasoning", "reasoning_text"),
    "response.content_part.done": OutputItems.part_done,
}
"""Type of an event → its handler. Events of parts and of the vendor's own tools have no counterpart here."""


def _meaning(status: str) -> FinishReason.ValueType:
    """What a status means, with the reason of an incomplete one."""
    kind, _, reason = status.partition("/")
    return FINISH_REASON_MODEL_ERROR if kind == "failed" else meaning(reason or kind)


def _model_of(response: Any) -> Any:
    return response.get("model") if isinstance(response, dict) else None
