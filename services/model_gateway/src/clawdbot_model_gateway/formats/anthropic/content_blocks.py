"""Decodes the content blocks of a reply, which start, grow and stop: text, thinking and tool calls."""

from __future__ import annotations

from typing import Any

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.reply_text import ReplyText
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.tool_call import CallIds, call_from_text
from clawdbot_model_gateway.formats.vendor_json import as_string, dump_exactly


class _PartialCall:
    """One tool call whose arguments are still arriving."""

    def __init__(self, index: int, call_id: str, name: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.arguments = ""
        self.text = TextJoiner()
        self.done = False

    def append(self, fragment: str, out: list[Event]) -> None:
        if fragment:
            self.arguments += fragment
            out.append(events.tool_call_delta(self.index, fragment))

    def finish(self, out: list[Event]) -> None:
        """Adds the call's last event, if its arguments are a JSON object."""
        self.append(self.text.end(), out)
        call = call_from_text(self.id, self.name, self.arguments)
        if call is not None:
            self.done = True
            out.append(events.tool_call_done(self.index, call))


class ContentBlocks:
    """The content blocks of one reply."""

    def __init__(self, names: ToolNames, text: ReplyText) -> None:
        self._names = names
        self._text = text
        self._calls: list[_PartialCall] = []
        self._open_calls: dict[Any, _PartialCall] = {}
        self._signatures: dict[Any, str] = {}
        self._ids = CallIds("toolu")
        self._strays = False
        """Whether arguments came that belong to no call."""

    @property
    def has_tool_call(self) -> bool:
        """Whether the reply contains a tool call."""
        return bool(self._calls)

    def start(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        """A block starts. In a stream it is still empty; in a non-streaming reply it is complete."""
        kind = block.get("type")
        if kind == "text":
            self._text.add(as_string(block.get("text")), out)
        elif kind == "thinking":
            self._text.add_reasoning(as_string(block.get("thinking")), out)
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
            self._text.add(as_string(delta.get("text")), out)
        elif kind == "input_json_delta":
            self._add_arguments(index, as_string(delta.get("partial_json")), out)
        elif kind == "thinking_delta":
            self._text.add_reasoning(as_string(delta.get("thinking")), out)
        elif kind == "signature_delta":
            self._add_signature(index, as_string(delta.get("signature")))

    def stop(self, index: Any, out: list[Event]) -> None:
        """A block is complete."""
        signature = self._signatures.pop(index, "")
        if signature:
            out.append(events.reasoning_delta("", signature=signature.encode("utf-8", "replace")))
        call = self._open_calls.pop(index, None)
        # A call without arguments may have met the token limit before its first one: `finish` decides.
        if call is not None and call.arguments:
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
            # Arguments without a call may be those of one that has none.
            if complete and not call.done and (call.arguments or not self._strays):
                call.finish(out)
        return not self._strays and all(call.done for call in self._calls)

    def _add_arguments(self, index: Any, fragment: str, out: list[Event]) -> None:
        call = self._open_calls.get(index)
        if call is None and len(self._open_calls) == 1:
            # Under another block's index: there is only one call that they can belong to.
            (call,) = self._open_calls.values()
        if call is not None:
            call.append(call.text.add(fragment), out)
        elif fragment:
            self._strays = True

    def _start_call(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        name = as_string(block.get("name"))
        if not name:
            return
        call_id = self._ids.unique(block.get("id"))
        call = _PartialCall(len(self._calls), call_id, self._names.from_wire(name))
        self._calls.append(call)
        self._open_calls[index] = call
        out.append(events.tool_call_started(call.index, call.id, call.name))
        arguments = block.get("input")
        if isinstance(arguments, dict) and arguments:
            call.append(call.text.add(dump_exactly(arguments)), out)

    def _add_signature(self, index: Any, fragment: str) -> None:
        if fragment:
            self._signatures[index] = self._signatures.get(index, "") + fragment
