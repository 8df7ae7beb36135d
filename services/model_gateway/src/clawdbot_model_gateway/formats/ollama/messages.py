"""Messages of typed parts as the messages of Ollama's /api/chat.

What a model thought is sent back: templates want it between a tool's call and its result. Pictures must come
as data, since Ollama fetches nothing; documents of text are written out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    ToolResult,
)
from clawdbot_servicekit.structs import to_json, to_plain

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames

Wire = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "system",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "tool",
}
WRITTEN: Final = ("text/", "application/json", "application/xml", "application/yaml")
"""How the media types of documents begin that a model can read as they are."""


class MessageWriter:
    """Writes the messages of one request, and notes what the wire has no place for."""

    def __init__(self, names: ToolNames, messages: Iterable[Message]) -> None:
        """Args: messages: all of the request's; a result may leave its tool's name to the call it answers."""
        self._names = names
        self._called = {
            part.tool_call.id: part.tool_call.name
            for message in messages
            for part in message.parts
            if part.WhichOneof("content") == "tool_call"
        }
        self._returned: list[str] = []
        """Pictures that tools returned: shown as a user's, after the results of one message's calls."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""

    def write(self, place: int, message: Message) -> Iterator[Wire]:
        """One message as one or, where it holds several tool results, several."""
        if self._returned and message.role != ROLE_TOOL:
            yield from self.rest()
        path = f"messages[{place}]"
        if message.name:
            self.unsupported.append(f"{path}.name")
        texts: list[str] = []
        rest: Wire = {}
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "text":
                texts.append(part.text)
            elif kind == "tool_result":
                yield self._tool_result(f"{path}.parts[{index}].tool_result", part.tool_result)
            elif kind == "document" and (text := _document(part.document)) is not None:
                texts.append(text)
            elif not (kind in _PARTS and _PARTS[kind](self, message, part, rest)):
                self.unsupported.append(f"{path}.parts[{index}].{kind}")
        if texts or rest:
            yield {"role": ROLES[message.role], "content": "\n".join(texts), **rest}

    def rest(self) -> Iterator[Wire]:
        """What comes after the last message: the pictures that its tools returned."""
        if self._returned:
            yield {"role": "user", "content": RETURNED, "images": self._returned}
            self._returned = []

    def image(self, message: Message, part: Part, wire: Wire) -> bool:
        """Adds a picture; False where it cannot."""
        data = _picture(part.image) if message.role == ROLE_USER else None
        if data is None:
            return False
        wire.setdefault("images", []).append(data)
        return True

    def reasoning(self, message: Message, part: Part, wire: Wire) -> bool:
        """Adds a thought. One that a vendor withheld says nothing to another model, and nothing is lost."""
        del message
        if part.reasoning.text and not part.reasoning.redacted:
            wire["thinking"] = wire.get("thinking", "") + part.reasoning.text
        return True

    def tool_call(self, message: Message, part: Part, wire: Wire) -> bool:
        """Adds a call."""
        del message
        call = part.tool_call
        calls = wire.setdefault("tool_calls", [])
        function = {
            "index": len(calls),
            "name": self._names.wire(call.name),
            "arguments": to_plain(call.arguments),
        }
        calls.append({"id": call.id, "function": function})
        return True

    def _tool_result(self, path: str, result: ToolResult) -> Wire:
        texts, before = [], len(self._returned)
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content")
            picture = _picture(part.image) if kind == "image" else None
            if kind == "text":
                texts.append(part.text)
            elif picture is not None:
                self._returned.append(picture)
            else:
                self.unsupported.append(f"{path}.content[{index}]")
        text = "\n".join(texts)
        if not text and result.HasField("structured"):
            text = to_json(result.structured).decode()
        if not text and len(self._returned) > before:
            text = SHOWN_BELOW
        wire: Wire = {
            "role": "tool",
            "content": text or _NOTHING[result.is_error],
            "tool_call_id": result.call_id,
        }
        name = result.name or self._called.get(result.call_id, "")
        if name:
            wire["tool_name"] = self._names.wire(name)
        return wire


RETURNED: Final = "What the tools returned, in order:"
SHOWN_BELOW: Final = "(shown below)"
_NOTHING: Final = {False: "(no output)", True: "The tool failed and said nothing."}
"""An empty answer reads to a model as if the tool had not run."""

_PARTS: Final[dict[str, Callable[[MessageWriter, Message, Part, Wire], bool]]] = {
    "image": MessageWriter.image,
    "reasoning": MessageWriter.reasoning,
    "tool_call": MessageWriter.tool_call,
}


def _picture(image: Media) -> str | None:
    """In base64: from its data, or from a `data:` URL."""
    if image.data:
        return base64.b64encode(image.data).decode()
    scheme, _, rest = image.uri.partition(":")
    head, comma, data = rest.partition(",")
    if scheme.lower() != "data" or not comma or not head.lower().endswith(";base64"):
        return None
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data


def _document(document: Document) -> str | None:
    """With its title before it; None where it is no text."""
    if not document.data or not document.media_type.lower().startswith(WRITTEN):
        return None
    try:
        text = document.data.decode()
    except UnicodeDecodeError:
        return None
    return f"{document.title}:\n{text}" if document.title else text
