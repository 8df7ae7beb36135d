"""The blocks of a reply, which come open, grow and close: texts, thoughts and tool calls."""

from __future__ import annotations

import secrets
from typing import Any

import orjson
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot_servicekit.structs import to_struct

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames


class _Call:
    """One tool call that grows."""

    def __init__(self, index: int, call_id: str, name: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.pieces: list[str] = []
        self.done = False

    def take(self, piece: str, found: list[Event]) -> None:
        if piece:
            self.pieces.append(piece)
            found.append(events.tool_delta(self.index, piece))

    def close(self, found: list[Event]) -> None:
        """Adds its last event, where its arguments are an object."""
        text = "".join(self.pieces).strip()
        try:
            plain = orjson.loads(text) if text else {}
            arguments = to_struct(plain) if isinstance(plain, dict) else None
        except ValueError:
            return
        if arguments is not None:
            self.done = True
            call = ToolCall(id=self.id, name=self.name, arguments=arguments)
            found.append(events.tool_done(self.index, call))


class Blocks:
    """All blocks of one reply."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._calls: list[_Call] = []
        self._open: dict[Any, _Call] = {}
        self._signatures: dict[Any, str] = {}
        self._ids: set[str] = set()

    @property
    def any_call(self) -> bool:
        """Whether the reply holds a tool call."""
        return bool(self._calls)

    def start(self, index: Any, block: dict[str, Any], found: list[Event]) -> None:
        """A block opens, with as much of it as is known: nothing in a stream, all of it in a whole reply."""
        kind = block.get("type")
        if kind == "text":
            _say(_text(block.get("text")), found)
        elif kind == "thinking":
            self._think(_text(block.get("thinking")), found)
            self._sign(index, _text(block.get("signature")))
        elif kind == "redacted_thinking":
            data = _text(block.get("data"))
            found.append(events.reasoning("", signature=data.encode("utf-8", "replace"), redacted=True))
        elif kind == "tool_use":
            self._begin(index, block, found)
        # Of other blocks, those of the vendor's own tools, the standard's reply has none.

    def grow(self, index: Any, delta: dict[str, Any], found: list[Event]) -> None:
        """A block grows."""
        kind = delta.get("type")
        if kind == "text_delta":
            _say(_text(delta.get("text")), found)
        elif kind == "input_json_delta":
            call = self._open.get(index)
            if call is not None:
                call.take(_text(delta.get("partial_json")), found)
        elif kind == "thinking_delta":
            self._think(_text(delta.get("thinking")), found)
        elif kind == "signature_delta":
            self._sign(index, _text(delta.get("signature")))

    def stop(self, index: Any, found: list[Event]) -> None:
        """A block closes."""
        signature = self._signatures.pop(index, "")
        if signature:
            found.append(events.reasoning("", signature=signature.encode("utf-8", "replace")))
        call = self._open.pop(index, None)
        # A call without arguments may be one that met the limit before its first: why it ended will tell.
        if call is not None and call.pieces:
            call.close(found)

    def end(self, found: list[Event], *, whole: bool) -> bool:
        """The reply has ended. Tells whether all its calls can be run.

        Args:
            found: what it brings is added here.
            whole: whether the model ended of its own will, so that a call without arguments has none.
        """
        for index in list(self._signatures):
            if whole:
                self.stop(index, found)
        for call in self._calls:
            if whole and not call.done:
                call.close(found)
        return all(call.done for call in self._calls)

    def _begin(self, index: Any, block: dict[str, Any], found: list[Event]) -> None:
        call_id, name = _text(block.get("id")), _text(block.get("name"))
        if not name:
            return
        if not call_id or call_id in self._ids:
            call_id = f"toolu_{secrets.token_hex(12)}"
        self._ids.add(call_id)
        call = _Call(len(self._calls), call_id, self._names.full(name))
        self._calls.append(call)
        self._open[index] = call
        found.append(events.tool_started(call.index, call.id, call.name))
        given = block.get("input")
        if isinstance(given, dict) and given:
            call.take(orjson.dumps(given).decode(), found)

    def _sign(self, index: Any, piece: str) -> None:
        if piece:
            self._signatures[index] = self._signatures.get(index, "") + piece

    @staticmethod
    def _think(text: str, found: list[Event]) -> None:
        if text:
            found.append(events.reasoning(text))


def _say(text: str, found: list[Event]) -> None:
    if text:
        found.append(events.text(text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
