"""Encodes messages of typed parts as the messages of Ollama's /api/chat.

Reasoning is sent back: templates want it between a tool's call and its result. Images must be data, since
Ollama fetches nothing; text documents become part of the text.
"""

from __future__ import annotations

import base64
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

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import EMPTY_RESULTS, is_blank
from clawdbot_model_gateway.formats.data_urls import inlined
from clawdbot_model_gateway.formats.tool_call import arguments_object, structured_text

JsonObject = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "system",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "tool",
}
TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/yaml")
"""Prefixes of the media types of documents that a model can read as text."""


class MessageEncoder:
    """Encodes the messages of one request and collects what the format has no field for."""

    def __init__(self, names: ToolNames, messages: Iterable[Message]) -> None:
        """Args: messages: all that will be encoded; a result may leave its tool's name to the call."""
        self._names = names
        self._tool_of_call = {
            part.tool_call.id: part.tool_call.name
            for message in messages
            for part in message.parts
            if part.WhichOneof("content") == "tool_call"
        }
        self._returned_images: list[str] = []
        """Images that tools returned: sent as a user's, after the results of one message's calls."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""
        self.left_out: list[str] = []
        """Paths of reasoning that was left out."""

    def encode(self, index: int, message: Message) -> Iterator[JsonObject]:
        """One message as one or, if it contains several tool results, several."""
        if self._returned_images and message.role != ROLE_TOOL:
            yield from self.flush()
        path = f"messages[{index}]"
        if message.name:
            self.unsupported.append(f"{path}.name")
        self.left_out += _signatures(path, message)
        texts: list[str] = []
        fields: JsonObject = {}
        for part_index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "text":
                texts += [] if is_blank(part.text) else [part.text]
            elif kind == "reasoning" and (part.reasoning.signature or part.reasoning.redacted):
                # A signature marks another vendor's: Ollama has none.
                self.left_out.append(f"{path}.parts[{part_index}].reasoning")
            elif kind == "tool_result":
                yield self._tool_result(f"{path}.parts[{part_index}].tool_result", part.tool_result)
            elif kind == "document" and (text := _document_text(part.document)) is not None:
                texts.append(text)
            elif not (kind in _PART_ENCODERS and _PART_ENCODERS[kind](self, message, part, fields)):
                self.unsupported.append(f"{path}.parts[{part_index}].{kind}")
        if texts or fields:
            yield {"role": ROLES[message.role], "content": "\n".join(texts), **fields}

    def flush(self) -> Iterator[JsonObject]:
        """The message with the images that the last message's tools returned."""
        if self._returned_images:
            yield {"role": "user", "content": IMAGES_CAPTION, "images": self._returned_images}
            self._returned_images = []

    def add_image(self, message: Message, part: Part, fields: JsonObject) -> bool:
        """Adds an image; False if the format has no field for it."""
        data = _image_base64(part.image) if message.role == ROLE_USER else None
        if data is None:
            return False
        fields.setdefault("images", []).append(data)
        return True

    def add_reasoning(self, message: Message, part: Part, fields: JsonObject) -> bool:
        """Adds reasoning."""
        del message
        if part.reasoning.text:
            fields["thinking"] = fields.get("thinking", "") + part.reasoning.text
        return True

    def add_tool_call(self, message: Message, part: Part, fields: JsonObject) -> bool:
        """Adds a call."""
        del message
        call = part.tool_call
        calls = fields.setdefault("tool_calls", [])
        function = {
            "index": len(calls),
            "name": self._names.to_wire(call.name),
            "arguments": arguments_object(call),
        }
        calls.append({"id": call.id, "function": function})
        return True

    def _tool_result(self, path: str, result: ToolResult) -> JsonObject:
        texts, before = [], len(self._returned_images)
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content")
            image = _image_base64(part.image) if kind == "image" else None
            if kind == "text":
                texts += [] if is_blank(part.text) else [part.text]
            elif image is not None:
                self._returned_images.append(image)
            else:
                self.unsupported.append(f"{path}.content[{index}]")
        text = "\n".join(texts)
        text = text or structured_text(result)
        if not text and len(self._returned_images) > before:
            text = SHOWN_BELOW
        wire: JsonObject = {
            "role": "tool",
            "content": text or EMPTY_RESULTS[result.is_error],
            "tool_call_id": result.call_id,
        }
        name = self._tool_of_call.get(result.call_id) or result.name
        if name:
            wire["tool_name"] = self._names.to_wire(name)
        return wire


IMAGES_CAPTION: Final = "What the tools returned, in order:"
SHOWN_BELOW: Final = "(shown below)"

_PART_ENCODERS: Final[dict[str, Callable[[MessageEncoder, Message, Part, JsonObject], bool]]] = {
    "image": MessageEncoder.add_image,
    "reasoning": MessageEncoder.add_reasoning,
    "tool_call": MessageEncoder.add_tool_call,
}


def _signatures(path: str, message: Message) -> list[str]:
    """Paths of the calls' signatures: they are another vendor's, as Ollama has none."""
    calls = [index for index, part in enumerate(message.parts) if part.tool_call.signature]
    return [f"{path}.parts[{index}].tool_call.signature" for index in calls]


def _image_base64(image: Media) -> str | None:
    """In base64: from its data, or from a `data:` URL."""
    image = inlined(image)
    # A URL may contain anything; data has been validated.
    is_image = not image.media_type or image.media_type.lower().startswith("image/")
    return base64.b64encode(image.data).decode() if image.data and is_image else None


def _document_text(document: Document) -> str | None:
    """The text, with the title before it; None if it is not text."""
    document = inlined(document)
    if not document.data or not document.media_type.lower().startswith(TEXT_TYPES):
        return None
    try:
        text = document.data.decode()
    except UnicodeDecodeError:
        return None
    return f"{document.title}:\n{text}" if document.title else text
