"""Encodes messages of typed parts as the items of a Responses API input.

Instructions that open a conversation have a field of their own; later ones are a developer's messages.
Reasoning goes back only with OpenAI's encrypted content: the API reads no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import (
    EMPTY_MESSAGE,
    EMPTY_RESULTS,
    Repairs,
    is_blank,
    prepare,
)
from clawdbot_model_gateway.formats.data_urls import data_url, inlined
from clawdbot_model_gateway.formats.responses import thought_signatures
from clawdbot_model_gateway.formats.tool_call import allowed_id, arguments_text, structured_text

JsonObject = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "developer",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "user",
}
CALL_ID: Final = re.compile(r".{1,64}", re.DOTALL)
"""The API refuses longer ids."""
MEDIA_KINDS: Final = frozenset({"image", "audio", "document"})


class MessageEncoder:
    """Encodes the messages of one request and collects what the format has no field for."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._paths: dict[str, str] = {}
        """Id of an item with reasoning → its path."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""
        self.left_out: list[str] = []
        """Paths of reasoning that was left out."""
        self.repairs = Repairs()

    def encode(self, request: GenerateRequest) -> JsonObject:
        """`input` and, if the conversation opens with instructions, `instructions`."""
        instructions: list[str] = []
        items: list[JsonObject] = []
        for index, message in prepare(request.messages, self.repairs):
            encoded = [*self._message(f"messages[{index}]", message)]
            if message.role == ROLE_SYSTEM and not items:
                instructions += [_text_of(item["content"]) for item in encoded]
            else:
                items += encoded
        items = self._with_followers(items) if self._paths else items
        # The API refuses a request without an input.
        if not instructions:
            return {"input": items or [{"role": "user", "content": EMPTY_MESSAGE}]}
        text = "\n\n".join(instructions)
        if not items:
            return {"input": [{"role": "developer", "content": text}]}
        return {"instructions": text, "input": items}

    def _with_followers(self, items: list[JsonObject]) -> list[JsonObject]:
        """The items. The API refuses reasoning that no text and no call of the assistant follows."""
        kept: list[JsonObject] = []
        for item in reversed(items):
            if item.get("type") == "reasoning" and not (kept and _is_assistants(kept[-1])):
                self.left_out.append(self._paths[item["id"]])
            else:
                kept.append(item)
        return kept[::-1]

    def _message(self, path: str, message: Message) -> Iterator[JsonObject]:
        """The message's items, in the order of its parts."""
        if message.name:
            self.unsupported.append(f"{path}.name")
        content: list[JsonObject] = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            part_path = f"{path}.parts[{index}]"
            if kind in _ITEM_ENCODERS:
                yield from _message_item(message, content)
                content = []
                yield from _ITEM_ENCODERS[kind](self, part_path, part)
            else:
                content += self._content(part_path, part, media=message.role == ROLE_USER)
        yield from _message_item(message, content)

    def _content(self, path: str, part: Part, *, media: bool) -> Iterator[JsonObject]:
        kind = part.WhichOneof("content") or ""
        if kind == "text":
            if not is_blank(part.text):
                yield {"type": "input_text", "text": part.text}
            return
        encoded = _MEDIA_ENCODERS[kind](part) if media and kind in _MEDIA_ENCODERS else None
        if encoded is not None:
            yield encoded
        else:
            self.unsupported.append(f"{path}.{kind}" if kind in MEDIA_KINDS else path)

    def _reasoning(self, path: str, part: Part) -> Iterator[JsonObject]:
        item = thought_signatures.unwrap(part.reasoning.signature, part.reasoning.text)
        # The API refuses an item that comes twice, as in a conversation with two equal replies.
        if item is None or item["id"] in self._paths:
            self.left_out.append(f"{path}.reasoning")
        else:
            self._paths[item["id"]] = f"{path}.reasoning"
            yield item

    def _tool_call(self, path: str, part: Part) -> Iterator[JsonObject]:
        call = part.tool_call
        if call.signature:
            self.left_out.append(f"{path}.tool_call.signature")
        yield {
            "type": "function_call",
            "call_id": allowed_id(call.id, CALL_ID),
            "name": self._names.to_wire(call.name),
            "arguments": arguments_text(call),
        }

    def _tool_result(self, path: str, part: Part) -> Iterator[JsonObject]:
        result: ToolResult = part.tool_result
        content: list[JsonObject] = []
        for index, each in enumerate(result.content):
            content += self._content(f"{path}.tool_result.content[{index}]", each, media=True)
        output: Any = _text_of(content) if all(each["type"] == "input_text" for each in content) else content
        output = output or structured_text(result) or EMPTY_RESULTS[result.is_error]
        yield {
            "type": "function_call_output",
            "call_id": allowed_id(result.call_id, CALL_ID),
            "output": output,
        }


def _is_assistants(item: JsonObject) -> bool:
    return item.get("type") in {"reasoning", "function_call"} or item.get("role") == "assistant"


_ITEM_ENCODERS: Final[Mapping[str, Callable[[MessageEncoder, str, Part], Iterator[JsonObject]]]] = {
    "reasoning": MessageEncoder._reasoning,  # noqa: SLF001 - its own table
    "tool_call": MessageEncoder._tool_call,  # noqa: SLF001
    "tool_result": MessageEncoder._tool_result,  # noqa: SLF001
}


def _message_item(message: Message, content: list[JsonObject]) -> Iterator[JsonObject]:
    if not content:
        return
    joins_texts = len(content) == 1 or message.role in {ROLE_ASSISTANT, ROLE_SYSTEM}
    plain = joins_texts and all(each["type"] == "input_text" for each in content)
    yield {"role": ROLES[message.role], "content": _text_of(content) if plain else content}


def _text_of(content: str | list[JsonObject]) -> str:
    return content if isinstance(content, str) else "\n".join(each["text"] for each in content)


def _image(part: Part) -> JsonObject:
    image = inlined(part.image)
    return {"type": "input_image", "detail": "auto", "image_url": image.uri or data_url(image)}


def _document(part: Part) -> JsonObject:
    document = inlined(part.document)
    if document.uri:
        return {"type": "input_file", "file_url": document.uri}
    name = document.title or "document"
    return {"type": "input_file", "filename": name, "file_data": data_url(document)}


_MEDIA_ENCODERS: Final[Mapping[str, Callable[[Part], JsonObject]]] = {"image": _image, "document": _document}
"""No audio: the API's messages take text, images and files."""
