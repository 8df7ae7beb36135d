"""Decodes the content blocks of a reply, which start, grow and stop: text, thinking and tool calls."""

from __future__ import annotations

from typing import Any, Final

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.reply_text import ReplyText
from clawdbot_model_gateway.formats.text_joiner import TextJoiner
from clawdbot_model_gateway.formats.tool_call import (
    PLACEHOLDER_TEXTS,
    PLACEHOLDERS,
    CallIds,
    added_by,
    call_from_json,
)
from clawdbot_model_gateway.formats.vendor_json import as_string

DELTAS: Final = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
"""Type of a delta → the field with what it adds, which says the type where a server does not."""


class _PartialCall:
    """One tool call whose arguments are still arriving."""

    def __init__(self, index: int, call_id: str, name: str, block: tuple[Any, Any, str]) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.block = block
        """The vendor's index, id and name of the block."""
        self.given: Any = None
        """The arguments that came with the start of the block. They count if no others follow: some servers
        send them once more, in pieces."""
        self.arguments = ""
        self.text = TextJoiner()
        self.done = False

    @property
    def has_arguments(self) -> bool:
        return bool(self.arguments) or self.given is not None

    def append(self, fragment: str, out: list[Event]) -> None:
        if fragment:
            self.arguments += fragment
            out.append(events.tool_call_delta(self.index, fragment))

    def finish(self, out: list[Event]) -> None:
        """Adds the call's last event, if its arguments are a JSON object."""
        self.append(self.text.end(), out)
        arguments = self.given if self.given is not None and not self.arguments else self.arguments
        call = call_from_json(self.id, self.name, arguments)
        if call is not None:
            self.done = True
            if not self.arguments and self.given is not None:
                self.append(call.arguments_json, out)
            out.append(events.tool_call_done(self.index, call))


class ContentBlocks:
    """The content blocks of one reply."""

    def __init__(self, names: ToolNames, text: ReplyText) -> None:
        self._names = names
        self._text = text
        self._calls: list[_PartialCall] = []
        self._open_calls: dict[Any, _PartialCall] = {}
        self._others: set[Any] = set()
        """Indexes of open blocks of other kinds, such as calls of the tools that the vendor runs itself."""
        self._signatures: dict[Any, str] = {}
        self._ids = CallIds("toolu")
        self._strays = False
        """Whether arguments came that belong to no call, or a call without a name."""

    @property
    def has_tool_call(self) -> bool:
        """Whether the reply contains a tool call."""
        return bool(self._calls)

    def start(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        """A block starts. In a stream it is still empty; in a non-streaming reply it is complete."""
        kind = block.get("type")
        if kind != "tool_use":
            # A block that has not stopped ends where another one takes its index.
            self.stop(index, out)
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
        else:
            # Our reply has no part for it.
            self._others.add(index)

    def delta(self, index: Any, delta: dict[str, Any], out: list[Event]) -> None:
        """A block grows."""
        kind = delta.get("type") or next((kind for kind, field in DELTAS.items() if field in delta), None)
        if kind == "text_delta":
            self._text.add(as_string(delta.get("text")), out)
        elif kind == "input_json_delta":
            self._add_arguments(index, delta.get("partial_json"), out)
        elif kind == "thinking_delta":
            self._text.add_reasoning(as_string(delta.get("thinking")), out)
        elif kind == "signature_delta":
            self._add_signature(index, as_string(delta.get("signature")))

    def stop(self, index: Any, out: list[Event]) -> None:
        """A block is complete."""
        self._others.discard(index)
        signature = self._signatures.pop(index, "")
        if signature:
            out.append(events.reasoning_delta("", signature=signature.encode("utf-8", "replace")))
        call = self._open_calls.pop(index, None)
        # A call without arguments may have met the token limit before its first one: `finish` decides.
        if call is not None and not call.done and call.has_arguments:
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
            if complete and not call.done and (call.has_arguments or not self._strays):
                call.finish(out)
        return not self._strays and all(call.done for call in self._calls)

    def _add_arguments(self, index: Any, fragment: Any, out: list[Event]) -> None:
        if index in self._others:
            return
        call = self._open_calls.get(index)
        if call is None and len(self._open_calls) == 1:
            # Under another block's index: there is only one call that they can belong to.
            (call,) = self._open_calls.values()
        if fragment in PLACEHOLDERS:
            return
        if call is None:
            self._strays = True
        elif isinstance(fragment, str) and not call.arguments and fragment in PLACEHOLDER_TEXTS:
            call.given = {} if call.given is None else call.given
        elif isinstance(fragment, str):
            call.append(call.text.add(added_by(fragment, call.arguments)), out)
        else:
            # All of them at once, and no text.
            call.given = fragment

    def _start_call(self, index: Any, block: dict[str, Any], out: list[Event]) -> None:
        name, vendor_id = as_string(block.get("name")), as_string(block.get("id"))
        if not name:
            self._strays = True
            return
        key = (index, vendor_id, name)
        call = self._repeated(key)
        if call is None:
            self.stop(index, out)
            call_id = self._ids.unique(vendor_id)
            call = _PartialCall(len(self._calls), call_id, self._names.from_wire(name), key)
            self._calls.append(call)
            out.append(events.tool_call_started(call.index, call.id, call.name))
        self._open_calls[index] = call
        if block.get("input") not in PLACEHOLDERS:
            call.given = block["input"]

    def _repeated(self, key: tuple[Any, Any, str]) -> _PartialCall | None:
        """The call whose block starts once more, as some proxies send it."""
        index, vendor_id, _ = key
        same = [call for call in self._calls if call.block == key and not call.done]
        # Without an id only while the block is open and empty: else it is another call under its index.
        if same and (vendor_id or (self._open_calls.get(index) is same[-1] and not same[-1].has_arguments)):
            return same[-1]
        return None

    def _add_signature(self, index: Any, fragment: str) -> None:
        if fragment:
            self._signatures[index] = self._signatures.get(index, "") + fragment
