"""Tool calls put together from their pieces.

OpenAI numbers the pieces and gives id and name with the first one only. Others leave the number out, always
say 0, repeat the id, or send a call whole; every one of these is in use.
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


class _Call:
    """One call that grows. It is told of once its name is known."""

    def __init__(self, index: int, number: Any, call_id: str) -> None:
        self.index = index
        self.number = number
        """The vendor's own index; None where it gave none."""
        self.given_id = call_id
        self.id = call_id or f"call_{secrets.token_hex(12)}"
        self.name = ""
        self.pieces: list[str] = []

    def arguments(self) -> ToolCall | None:
        """The call with its arguments parsed; None where they are no JSON object."""
        text = "".join(self.pieces).strip()
        try:
            # Models say nothing, or null, where a tool takes no arguments.
            plain = orjson.loads(text) if text else {}
            arguments = to_struct({} if plain is None else plain) if isinstance(plain, dict | None) else None
        except ValueError:
            return None
        if arguments is None or not self.name:
            return None
        return ToolCall(id=self.id, name=self.name, arguments=arguments)


class ToolCalls:
    """The calls of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._calls: list[_Call] = []

    def take(self, pieces: Any, found: list[Event]) -> None:
        """Adds the events of the pieces in one chunk."""
        for piece in pieces if isinstance(pieces, list) else []:
            if isinstance(piece, dict):
                self._piece(piece, found)

    def done(self, found: list[Event]) -> Iterator[bool]:
        """Adds the last event of each call that is whole, and tells for each whether it is."""
        for call in self._calls:
            whole = call.arguments()
            if whole is not None:
                found.append(events.tool_done(call.index, whole))
            yield whole is not None

    def _piece(self, piece: dict[str, Any], found: list[Event]) -> None:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        name = name if isinstance(name, str) else ""
        if isinstance(arguments, dict):
            # Ollama's habit, which leaks through servers built on it.
            arguments = orjson.dumps(arguments).decode()
        arguments = arguments if isinstance(arguments, str) else ""
        call_id = piece.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        call = self._call(piece.get("index"), call_id, name)
        if call is None:
            return
        if name and not call.name:
            call.name = self._names.full(name)
            found.append(events.tool_started(call.index, call.id, call.name))
            if call.pieces:
                found.append(events.tool_delta(call.index, "".join(call.pieces)))
        if arguments:
            call.pieces.append(arguments)
            if call.name:
                found.append(events.tool_delta(call.index, arguments))

    def _call(self, number: Any, call_id: str, name: str) -> _Call | None:
        """The call that a piece belongs to; a new one where it begins one."""
        known = next((each for each in self._calls if call_id and each.given_id == call_id), None)
        if known is not None:
            return known
        numbered = (each for each in reversed(self._calls) if each.number == number)
        same = None if number is None else next(numbered, None)
        if call_id and (name or same is None):
            # A new id begins a call even under a number that is taken: some servers number all of them 0.
            if same is not None and not same.given_id and not same.name:
                same.given_id = same.id = call_id
                return same
            return self._begin(number, call_id)
        if same is not None:
            return same
        if number is None and not name:
            return self._calls[-1] if self._calls else None
        return self._begin(number, call_id)

    def _begin(self, number: Any, call_id: str) -> _Call:
        call = _Call(len(self._calls), number, call_id)
        self._calls.append(call)
        return call
