"""Decodes a reply of the Messages API into events, streamed or at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
)
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.anthropic.content_blocks import ContentBlocks
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.finish_reasons import COMPLETE_REASONS, meaning
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.vendor_json import as_object
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.error_payloads import reports_error


class ResponseDecoder(ReplyDecoder):
    """Decodes one reply. Without message_stop it is TRUNCATED, even with a stop_reason."""

    exact_marker: ClassVar[bytes] = b'"input"'

    def __init__(
        self,
        model: str,
        warnings: Sequence[Warning],
        names: ToolNames,
        errors: ErrorMapper,
        think_tags: ThinkTagModes | None = None,
    ) -> None:
        super().__init__(model, warnings, errors, think_tags)
        self._blocks = ContentBlocks(names, self._text)
        self._given: Any = None
        """Content that came with the start of the reply: it counts if no other follows."""

    @override
    def decode(self, event: Any, name: bytes, out: list[Event]) -> None:
        """The event's name counts if its data contains no type."""
        if not isinstance(event, dict):
            raise ProtocolViolation("an event of the stream is not a JSON object")
        if self._may_count:
            self._take_usage(event)
        if self._is_error(event, name):
            raise self._errors.from_payload(event)
        content = event.get("content")
        if isinstance(content, list):
            self._decode_message(event, content, out)
        elif isinstance(content, str) and event.get("type") == "message":
            # As in requests, where a text alone is not a list of blocks.
            self._decode_message(event, [{"type": "text", "text": content}], out)
        elif "type" in event:
            self._decode_event(event, out)
        else:
            self._decode_event({**event, "type": name.decode("utf-8", "replace")}, out)

    @override
    def finish(self, out: list[Event]) -> None:
        self._start(None, out)
        if isinstance(self._given, list) and not self.has_content:
            self._decode_blocks(self._given, out)
        reason = FINISH_REASON_TRUNCATED
        if self.ended:
            reason = meaning(self.finish_reason)
        self._end_text(reason, out)
        runnable = self._blocks.finish(out, complete=reason in COMPLETE_REASONS)
        if reason == FINISH_REASON_STOP and self._blocks.has_tool_call:
            # Servers that imitate the API end tool calls this way.
            reason = FINISH_REASON_TOOL_CALLS
        if reason == FINISH_REASON_TOOL_CALLS and not (runnable and self._blocks.has_tool_call):
            reason = FINISH_REASON_MODEL_ERROR
        self._end_reply(reason, out)

    def _decode_message(self, message: Mapping[str, Any], content: list[Any], out: list[Event]) -> None:
        """A whole reply: from a server that does not stream, or that ends a stream by repeating it."""
        self._decode_event({"type": "message_start", "message": message}, out)
        if not self.has_content:
            self._decode_blocks(content, out)
        self._decode_event({"type": "message_delta", "delta": message}, out)
        self.ended = True

    def _decode_blocks(self, content: list[Any], out: list[Event]) -> None:
        for index, block in enumerate(content):
            self._decode_event({"type": "content_block_start", "index": index, "content_block": block}, out)
            self._decode_event({"type": "content_block_stop", "index": index}, out)

    def _decode_event(self, event: Mapping[str, Any], out: list[Event]) -> None:
        """Decodes one event. Ignores unknown types, as the vendor asks of its clients."""
        kind, index = event.get("type"), _block_index(event.get("index"))
        content: list[Event] = []
        if kind == "content_block_delta":
            self._blocks.delta(index, as_object(event.get("delta")), content)
        elif kind == "content_block_start":
            self._blocks.start(index, as_object(event.get("content_block")), content)
        elif kind == "content_block_stop":
            self._blocks.stop(index, content)
        elif kind == "message_start":
            self._start_message(as_object(event.get("message")), out)
        elif kind == "message_delta":
            delta = as_object(event.get("delta"))
            if reports_error(delta):
                raise self._errors.from_payload(delta)
            self._take_reason(delta.get("stop_reason"), with_content=False)
        elif kind == "message_stop":
            self._take_reason(event.get("stop_reason"), with_content=False)
            self.ended = True
        if content:
            self._start(None, out)
            self.has_content = True
            out += content

    def _start_message(self, message: Mapping[str, Any], out: list[Event]) -> None:
        if reports_error(message):
            raise self._errors.from_payload(message)
        self._start(message.get("model"), out)
        self._given = message.get("content") or self._given
        self._take_reason(message.get("stop_reason"), with_content=False)


def _block_index(index: Any) -> int | str:
    """The block's index; -1 for all blocks of a server that sends none, where they follow one another."""
    return index if isinstance(index, int | str) else -1
