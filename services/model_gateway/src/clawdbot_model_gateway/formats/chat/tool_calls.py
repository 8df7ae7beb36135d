"""Assembles tool calls from the fragments of a stream.

OpenAI numbers the fragments and sends id and name only with the first one. Other servers leave the index out,
always send 0, repeat the id, or send a call at once; every one of these is in use.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import orjson
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames


class _PartialCall:
    """One call that grows. Its first event is sent once its name is known."""

    def __init__(self, index: int, vendor_index: Any, call_id: str) -> None:
        self.index = index
        self.vendor_index = vendor_index
        """The vendor's own index; None if it sent none."""
        self.vendor_id = call_id
        self.id = call_id or f"call_{secrets.token_hex(12)}"
        self.name = ""
        self.fragments: list[str] = []

    def parse(self) -> ToolCall | None:
        """The call with its arguments parsed; None if they are not a JSON object."""
        text = "".join(self.fragments).strip()
        try:
            # Models send nothing, or null, if a tool takes no arguments.
            plain = orjson.loads(text) if text else {}
            arguments = to_struct({} if plain is None else plain) if isinstance(plain, dict | None) else None
        except ValueError:
            return None
        if arguments is None or not self.name:
            return None
        return ToolCall(id=self.id, name=self.name, arguments=arguments)


class ToolCallAccumulator:
    """The calls of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._calls: list[_PartialCall] = []

    def add(self, fragments: Any, out: list[Event]) -> None:
        """Adds the events of the fragments in one chunk."""
        for fragment in fragments if isinstance(fragments, list) else []:
            if isinstance(fragment, dict):
                self._add_fragment(fragment, out)

    def finish(self, out: list[Event]) -> Iterator[bool]:
        """Adds the last event of each complete call; yields for each call whether it is complete."""
        for call in self._calls:
            parsed = call.parse()
            if parsed is not None:
                out.append(events.tool_call_done(call.index, parsed))
            yield parsed is not None

    def _add_fragment(self, fragment: dict[str, Any], out: list[Event]) -> None:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        name = name if isinstance(name, str) else ""
        if isinstance(arguments, dict):
            # As Ollama sends them, and with it some servers that are built on it.
            arguments = orjson.dumps(arguments).decode()
        arguments = arguments if isinstance(arguments, str) else ""
        call_id = fragment.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        call = self._call_of(fragment.get("index"), call_id, name)
        if call is None:
            return
        if name and not call.name:
            call.name = self._names.from_wire(name)
            out.append(events.tool_call_started(call.index, call.id, call.name))
            if call.fragments:
                out.append(events.tool_call_delta(call.index, "".join(call.fragments)))
        if arguments:
            call.fragments.append(arguments)
            if call.name:
                out.append(events.tool_call_delta(call.index, arguments))

    def _call_of(self, vendor_index: Any, call_id: str, name: str) -> _PartialCall | None:
        """The call that a fragment belongs to; a new one if it begins one."""
        by_id = next((call for call in self._calls if call_id and call.vendor_id == call_id), None)
        if by_id is not None:
            return by_id
        with_index = (call for call in reversed(self._calls) if call.vendor_index == vendor_index)
        by_index = None if vendor_index is None else next(with_index, None)
        if call_id and (name or by_index is None):
            # A new id begins a call even under an index that is taken: some servers number all of them 0.
            if by_index is not None and not by_index.vendor_id and not by_index.name:
                by_index.vendor_id = by_index.id = call_id
                return by_index
            return self._start_call(vendor_index, call_id)
        if by_index is not None:
            return by_index
        if vendor_index is None and not name:
            return self._calls[-1] if self._calls else None
        return self._start_call(vendor_index, call_id)

    def _start_call(self, vendor_index: Any, call_id: str) -> _PartialCall:
        call = _PartialCall(len(self._calls), vendor_index, call_id)
        self._calls.append(call)
        return call
