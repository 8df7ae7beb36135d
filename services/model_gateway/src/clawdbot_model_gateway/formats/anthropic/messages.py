"""Messages of typed parts as the messages and the system prompt of the Messages API.

Roles take turns there, results of tools are the user's and come first in his turn, and instructions stand
outside of the conversation. Thoughts go back with their signatures; those of other vendors have none that
holds and stay here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.formats.anthropic.media import document_block, image_block
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames, wire_name

Wire = dict[str, Any]

ROLES: Final = {ROLE_USER: "user", ROLE_TOOL: "user", ROLE_ASSISTANT: "assistant"}
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SIGNATURE: Final = re.compile(rb"[A-Za-z0-9+/=_-]+")
"""Of a thought; other vendors' may be any bytes."""

SPEAKER: Final = {"image": ROLE_USER, "document": ROLE_USER}
"""Kind of part → the only role that may say it (since API version 2026-10-21)."""


class MessageWriter:
    """Writes the messages of one request, and notes what the wire has no place for."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self.system: list[Wire] = []
        """Blocks of the system prompt."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""

    def write(self, messages: Iterable[Message]) -> list[Wire]:
        """The conversation, neighbours of one role made one."""
        turns: list[Wire] = []
        for place, message in enumerate(messages):
            path = f"messages[{place}]"
            if message.name:
                self.unsupported.append(f"{path}.name")
            blocks = self._blocks(path, message)
            if message.role == ROLE_SYSTEM:
                self.system += blocks
            elif blocks:
                role = ROLES[message.role]
                if turns and turns[-1]["role"] == role:
                    turns[-1]["content"] += blocks
                else:
                    turns.append({"role": role, "content": blocks})
        for turn in turns:
            # Stable: only the results move, to where the API wants them.
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
        return turns

    def _blocks(self, path: str, message: Message) -> list[Wire]:
        blocks = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "tool_result":
                blocks.append(self._result(f"{path}.parts[{index}]", part.tool_result))
            elif kind == "tool_call":
                blocks.append(self._call(part.tool_call))
            elif kind == "reasoning":
                blocks += _thought(part.reasoning)
            elif kind != "text" or part.text:
                # The API refuses an empty text.
                block = _written(kind, part) if SPEAKER.get(kind, message.role) == message.role else None
                if block is None:
                    self.unsupported.append(f"{path}.parts[{index}].{kind}")
                else:
                    blocks.append(block)
        return blocks

    def _call(self, call: ToolCall) -> Wire:
        return {
            "type": "tool_use",
            "id": _call_id(call.id),
            "name": self._names.wire(call.name),
            "input": to_plain(call.arguments),
        }

    def _result(self, path: str, result: ToolResult) -> Wire:
        content: list[Wire] = []
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            if kind == "text" and not part.text:
                continue
            block = _written(kind, part)
            if block is None:
                self.unsupported.append(f"{path}.tool_result.content[{index}]")
            else:
                content.append(block)
        if not content and result.HasField("structured"):
            content.append({"type": "text", "text": to_json(result.structured).decode()})
        wire: Wire = {"type": "tool_result", "tool_use_id": _call_id(result.call_id)}
        if content:
            wire["content"] = content
        if result.is_error:
            wire["is_error"] = True
        return wire


_WRITERS: Final[dict[str, Callable[[Part], Wire | None]]] = {
    "text": lambda part: {"type": "text", "text": part.text},
    "image": lambda part: image_block(part.image),
    "document": lambda part: document_block(part.document),
}


def _written(kind: str, part: Part) -> Wire | None:
    write = _WRITERS.get(kind)
    return None if write is None else write(part)


def _thought(thought: Reasoning) -> list[Wire]:
    if not _SIGNATURE.fullmatch(thought.signature):
        return []
    signature = thought.signature.decode()
    if thought.redacted:
        return [{"type": "redacted_thinking", "data": signature}]
    return [{"type": "thinking", "thinking": thought.text, "signature": signature}]


def _call_id(call_id: str) -> str:
    """An id that the API allows; its own ones and most others' are already."""
    return call_id if _ID.fullmatch(call_id) else wire_name(call_id)
