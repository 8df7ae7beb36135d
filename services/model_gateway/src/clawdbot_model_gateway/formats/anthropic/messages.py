"""Encodes messages of typed parts as the messages and the system prompt of the Messages API.

There, roles alternate, tool results belong to the user and come first in a user's turn, and the system prompt
is not part of the conversation. Thinking goes back with its signature; other vendors' thinking is left out,
since the API accepts only its own signatures.
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

from clawdbot_model_gateway.formats.anthropic.media import document_block, image_block
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames, wire_name
from clawdbot_model_gateway.formats.conversation import (
    EMPTY_MESSAGE,
    EMPTY_RESULTS,
    Repairs,
    is_blank,
    prepare,
    with_first_words,
    with_question,
)
from clawdbot_model_gateway.formats.tool_call import CallIds, arguments_object, structured_text

JsonObject = dict[str, Any]

ROLES: Final = {ROLE_USER: "user", ROLE_TOOL: "user", ROLE_ASSISTANT: "assistant"}
_SIGNATURE: Final = re.compile(rb"[A-Za-z0-9+/=_-]+")
"""Of thinking; other vendors' signatures may be any bytes."""

THINKING_TYPES: Final = frozenset({"thinking", "redacted_thinking"})

REQUIRED_ROLE: Final = {"image": ROLE_USER, "document": ROLE_USER}
"""Kind of part → the only role whose messages may contain it (since API version 2026-10-21)."""


class MessageEncoder:
    """Encodes the messages of one request and collects what the format has no field for."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._ids = CallIds("call")
        self._wire_ids: dict[str, str] = {}
        """Id of a call → an id that the API allows, as its own ids and most other vendors' are."""
        self.system: list[JsonObject] = []
        """Blocks of the system prompt."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""
        self.left_out: list[str] = []
        """Paths of reasoning that was left out."""
        self.repairs = Repairs()
        self.thought_before_calls = True
        """Whether the calls that wait for an answer follow thinking, which a model that thinks requires."""

    def encode(self, messages: Iterable[Message]) -> list[JsonObject]:
        """The conversation, with neighbouring messages of one role joined."""
        turns: list[JsonObject] = []
        prepared = with_first_words(with_question(prepare(messages, self.repairs)))
        followers = [*(message.role for _, message in prepared[1:]), None]
        for (index, message), follower in zip(prepared, followers, strict=True):
            path = f"messages[{index}]"
            if message.name:
                self.unsupported.append(f"{path}.name")
            blocks = self._blocks(path, message)
            if follower != message.role:
                self._leave_out_last_thoughts(path, message, blocks)
            if message.role == ROLE_SYSTEM:
                self.system += blocks
            elif blocks:
                role = ROLES[message.role]
                if turns and turns[-1]["role"] == role:
                    turns[-1]["content"] += blocks
                else:
                    turns.append({"role": role, "content": blocks})
        for turn in turns:
            # The sort is stable: only tool results move, to where the API requires them.
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
        self.thought_before_calls = _thought_before_calls(turns)
        if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
            # The API refuses a beginning of the reply that ends in white space.
            last = turns[-1]["content"][-1]
            last["text"] = last["text"].rstrip()
        return turns or [{"role": "user", "content": [{"type": "text", "text": EMPTY_MESSAGE}]}]

    def _blocks(self, path: str, message: Message) -> list[JsonObject]:
        blocks = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "tool_result":
                blocks += self._tool_result(f"{path}.parts[{index}]", part.tool_result)
            elif kind == "tool_call":
                blocks.append(self._tool_use(part.tool_call))
                if part.tool_call.signature:
                    self.left_out.append(f"{path}.parts[{index}].tool_call.signature")
            elif kind == "reasoning":
                thinking = _thinking(part.reasoning)
                blocks += thinking
                if not thinking:
                    self.left_out.append(f"{path}.parts[{index}].reasoning")
            elif kind != "text" or not is_blank(part.text):
                allowed = REQUIRED_ROLE.get(kind, message.role) == message.role
                block = _encode_part(kind, part) if allowed else None
                if block is None:
                    self.unsupported.append(f"{path}.parts[{index}].{kind}")
                else:
                    blocks.append(block)
        return blocks

    def _leave_out_last_thoughts(self, path: str, message: Message, blocks: list[JsonObject]) -> None:
        """The API refuses thinking that ends a turn."""
        for index in range(len(message.parts) - 1, -1, -1):
            if not blocks or blocks[-1]["type"] not in THINKING_TYPES:
                return
            part_path = f"{path}.parts[{index}].reasoning"
            if message.parts[index].HasField("reasoning") and part_path not in self.left_out:
                blocks.pop()
                self.left_out.append(part_path)

    def _call_id(self, call_id: str) -> str:
        if call_id not in self._wire_ids:
            self._wire_ids[call_id] = self._ids.unique(wire_name(call_id))
        return self._wire_ids[call_id]

    def _tool_use(self, call: ToolCall) -> JsonObject:
        return {
            "type": "tool_use",
            "id": self._call_id(call.id),
            "name": self._names.to_wire(call.name),
            "input": arguments_object(call),
        }

    def _tool_result(self, path: str, result: ToolResult) -> list[JsonObject]:
        """The result. That of a tool that failed has one text at least and no media, which follow it."""
        content: list[JsonObject] = []
        media: list[JsonObject] = []
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            if kind == "text" and is_blank(part.text):
                continue
            block = _encode_part(kind, part)
            if block is None:
                self.unsupported.append(f"{path}.tool_result.content[{index}]")
            elif result.is_error and kind != "text":
                media.append(block)
            else:
                content.append(block)
        if not content and (text := structured_text(result)):
            content.append({"type": "text", "text": text})
        if result.is_error and not content:
            content.append({"type": "text", "text": EMPTY_RESULTS[True]})
        wire: JsonObject = {"type": "tool_result", "tool_use_id": self._call_id(result.call_id)}
        if content:
            wire["content"] = content
        if result.is_error:
            wire["is_error"] = True
        return [wire, *media]


_PART_ENCODERS: Final[dict[str, Callable[[Part], JsonObject | None]]] = {
    "text": lambda part: {"type": "text", "text": part.text},
    "image": lambda part: image_block(part.image),
    "document": lambda part: document_block(part.document),
}


def _encode_part(kind: str, part: Part) -> JsonObject | None:
    encode = _PART_ENCODERS.get(kind)
    return None if encode is None else encode(part)


def _thinking(reasoning: Reasoning) -> list[JsonObject]:
    if not _SIGNATURE.fullmatch(reasoning.signature):
        return []
    signature = reasoning.signature.decode()
    if reasoning.redacted:
        return [{"type": "redacted_thinking", "data": signature}]
    return [{"type": "thinking", "thinking": reasoning.text, "signature": signature}]


def _thought_before_calls(turns: list[JsonObject]) -> bool:
    """Whether the assistant's turns since the person's last words begin with thinking."""
    for turn in reversed(turns):
        kinds = [block["type"] for block in turn["content"]]
        if turn["role"] == "user" and "tool_result" not in kinds:
            return True
        if turn["role"] == "assistant" and "tool_use" in kinds and not kinds[0].endswith("thinking"):
            return False
    return True
