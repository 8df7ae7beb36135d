"""Messages of typed parts as Chat Completions' messages.

What a model thought is not sent back: the wire has no place for it, and some servers refuse it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
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
from clawdbot_servicekit.structs import to_json

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames

Wire = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "system",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "tool",
}
SOUNDS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
"""Media type → Chat Completions' word for it; it takes no others."""


class MessageWriter:
    """Writes the messages of one request, and notes the parts that the wire has no place for."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._returned: list[Wire] = []
        """Pictures and documents that tools returned: the wire takes them from a user only, and no message
        may stand between the results of one message's calls."""
        self.unsupported: list[str] = []
        """Paths of parts that were left out."""

    def write(self, place: int, message: Message) -> Iterator[Wire]:
        """One message as one or, where it holds several tool results, several."""
        if self._returned and message.role != ROLE_TOOL:
            yield from self.rest()
        parts = message.parts
        if len(parts) == 1 and parts[0].WhichOneof("content") == "text":
            # Nearly every message.
            yield self._with_name({"role": ROLES[message.role], "content": parts[0].text}, message)
            return
        for index, part in enumerate(parts):
            if part.WhichOneof("content") == "tool_result":
                yield self._tool_result(f"messages[{place}].parts[{index}]", part.tool_result)
        content = self._content(f"messages[{place}].parts", message)
        calls = [self._call(part) for part in parts if part.WhichOneof("content") == "tool_call"]
        if not content and not calls:
            return
        wire: Wire = {"role": ROLES[message.role], "content": content or None}
        if calls:
            wire["tool_calls"] = calls
        yield self._with_name(wire, message)

    def rest(self) -> Iterator[Wire]:
        """What comes after the last message: what its tools returned besides text."""
        if self._returned:
            yield {"role": "user", "content": self._returned}
            self._returned = []

    def _content(self, path: str, message: Message) -> str | list[Wire]:
        """Text where it is text alone, as that is what every server takes; else a list of parts."""
        texts: list[str] = []
        listed: list[Wire] = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "text":
                texts.append(part.text)
                listed.append({"type": "text", "text": part.text})
            elif kind in _MEDIA:
                media = _MEDIA[kind](part) if message.role == ROLE_USER else None
                if media is None:
                    self.unsupported.append(f"{path}[{index}].{kind}")
                else:
                    listed.append(media)
        return listed if len(listed) > len(texts) else "\n".join(texts)

    def _call(self, part: Part) -> Wire:
        call = part.tool_call
        arguments = to_json(call.arguments).decode()
        function = {"name": self._names.wire(call.name), "arguments": arguments}
        return {"id": call.id, "type": "function", "function": function}

    def _tool_result(self, path: str, result: ToolResult) -> Wire:
        texts, before = [], len(self._returned)
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            media = _MEDIA[kind](part) if kind in _MEDIA else None
            if kind == "text":
                texts.append(part.text)
            elif media is not None:
                said = RETURNED.format(name=result.name or "a tool", call=result.call_id)
                self._returned += [{"type": "text", "text": said}, media]
            else:
                self.unsupported.append(f"{path}.tool_result.content[{index}]")
        text = "\n".join(texts)
        if not text and result.HasField("structured"):
            text = to_json(result.structured).decode()
        if not text and len(self._returned) > before:
            text = SHOWN_BELOW
        return {"role": "tool", "tool_call_id": result.call_id, "content": text or _NOTHING[result.is_error]}

    @staticmethod
    def _with_name(wire: Wire, message: Message) -> Wire:
        if message.name:
            wire["name"] = message.name
        return wire


RETURNED: Final = "Returned by {name} (call {call}):"
"""Stands before a picture or document that a tool returned."""
SHOWN_BELOW: Final = "(shown below)"
_NOTHING: Final = {False: "(no output)", True: "The tool failed and said nothing."}
"""Some servers refuse an empty tool message."""


def _image(part: Part) -> Wire | None:
    return {"type": "image_url", "image_url": {"url": part.image.uri or _data_url(part.image)}}


def _sound(part: Part) -> Wire | None:
    kind = SOUNDS.get(part.audio.media_type)
    if kind is None or not part.audio.data:
        return None
    return {"type": "input_audio", "input_audio": {"data": _base64(part.audio.data), "format": kind}}


def _document(part: Part) -> Wire | None:
    document = part.document
    if not document.data:
        return None
    name = document.title or "document"
    return {"type": "file", "file": {"filename": name, "file_data": _data_url(document)}}


_MEDIA: Final[dict[str, Callable[[Part], Wire | None]]] = {
    "image": _image,
    "audio": _sound,
    "document": _document,
}


def _data_url(media: Media | Document) -> str:
    return f"data:{media.media_type};base64,{_base64(media.data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
