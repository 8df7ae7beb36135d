"""Decodes the content blocks of a reply, which start, grow and stop: text, thinking and tool calls."""

from __future__ import annotations

import secrets
from typing import Any

import orjson
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.vendor_json import as_string


class _PartialCall:
    """One tool call whose arguments are still arriving."""

    def __init__(self, index: int, call_id: str, name: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.fragments: list[str] = []
        self.done = False

    def append(self, fragment: str, out: list[Event]) -> None:
        if fragment:
            self.fragments.append(fragment)
            out.append(events.tool_call_delta(self.index, fragment))

    def finish(self, out: list[Event]) -> None:
        """Adds the call's last event, if its arguments are a JSON object."""
        text = "".join(self.fragments).strip()
        try:
            plain = orjson.loads(text) if text else {}
            arguments = to_struct(plain) if isinstance(plain, dict) else None
        except ValueError:
            return
        if arguments is not None:
            self.done = True
            call = ToolCall(id=self.id, name=self.name, arguments=arguments)
            out.append(events.tool_call_done(self.index, call))


class ContentBlocks:
    """The content blocks of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._calls: list[_PartialCall] = []
        self._open_calls: dict[Any, _PartialCall] = {}
        self._signatures: dict[Any, str] = {}
        self._call_ids: set[str] = set()

    @property
    def has_tool_call(self) -> bool:
        """Whether the reply contains a tool call."""
        return bool(self._calls)

    def start(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        """A block starts. In a stream it is still empty; in a non-streaming reply it is complete."""
        kind = block.get("type")
        if kind == "text":
            _add_text(as_string(block.get("text")), out)
        elif kind == "thinking":
            self._add_thinking(as_string(block.get("thinking")), out)
            self._add_signature(index, as_string(block.get("signature")))
        elif kind == "redacted_thinking":
            signature = as_string(block.get("data")).encode("utf-8", "replace")
            if signature:
                out.append(events.reasoning_delta("", signature=signature, redacted=True))
        elif kind == "tool_use":
            self._start_call(index, block, out)
        # Other blocks belong to the vendor's own tools; our reply has no part for them.

    def delta(self, index: Any, delta: dict[str, Any], out: list[Event]) -> None:
        """A block grows."""
        kind = delta.get("type")
        if kind == "text_delta":
            _add_text(as_string(delta.get("text")), out)
        elif kind == "input_json_delta":
            call = self._open_calls.get(index)
            if call is not None:
                call.append(as_string(delta.get("partial_json")), out)
        elif kind == "thinking_delta":
            self._add_thinking(as_string(delta.get("thinking")), out)
        elif kind == "signature_delta":
            self._add_signature(index, as_string(delta.get("signature")))

    def stop(self, index: Any, out: list[Event]) -> None:
        """A block is complete."""
        signature = self._signatures.pop(index, "")
        if signature:
            out.append(events.reasoning_delta("", signature=signature.encode("utf-8", "replace")))
        call = self._open_calls.pop(index, None)
        # A call without arguments may have met the token limit before its first one: `finish` decides.
        if call is not None and call.fragments:
            call.finish(out)

    def finish(self, out: list[Event], *, complete: bool) -> bool:
        """The reply has ended. Returns whether all its tool calls can be run.

        Args:
            out: the last events are added here.
            complete: whether the model ended on its own, so that a call without arguments really has none.
        """
        for index in list(self._signatures):
            if complete:
                self.stop(index, out)
        for call in self._calls:
            if complete and not call.done:
                call.finish(out)
        return all(call.done for call in self._calls)

    def _start_call(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        call_id, name = as_string(block.get("id")), as_string(block.get("name"))
        if not name:
            return
        if not call_id or call_id in self._call_ids:
            call_id = f"toolu_{secrets.token_hex(12)}"
        self._call_ids.add(call_id)
        call = _PartialCall(len(self._calls), call_id, self._names.from_wire(name))
        self._calls.append(call)
        self._open_calls[index] = call
        out.append(events.tool_call_started(call.index, call.id, call.name))
        arguments = block.get("input")
        if isinstance(arguments, dict) and arguments:
            call.append(orjson.dumps(arguments).decode(), out)

    def _add_signature(self, index: Any, fragment: str) -> None:
        if fragment:
            self._signatures[index] = self._signatures.get(index, "") + fragment

    @staticmethod
    def _add_thinking(text: str, out: list[Event]) -> None:
        if text:
            out.append(events.reasoning_delta(text))


def _add_text(text: str, out: list[Event]) -> None:
    if text:
        out.append(events.text_delta(text))
