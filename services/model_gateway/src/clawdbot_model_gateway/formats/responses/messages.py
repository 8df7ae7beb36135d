"""Messages of typed parts as the items of a Responses API input.

Instructions that open a conversation have a place of their own; later ones are a developer's messages. Of
what a model thought, only what bears OpenAI's encrypted content goes back: the API reads nothing else of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
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
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.structs import to_json

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.responses import thought_signatures

Wire = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "developer",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "user",
}
MEDIA: Final = frozenset({"image", "audio", "document"})
NOTHING: Final = {False: "(no output)", True: "The tool failed and said nothing."}


class InputWriter:
    """Writes the messages of one request, and notes what the wire has no place for."""

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self.unsupported: list[str] = []
        """Paths of what was left out."""

    def write(self, request: GenerateRequest) -> Wire:
        """`input` and, where the conversation opens with them, `instructions`."""
        instructions: list[str] = []
        items: list[Wire] = []
        for place, message in enumerate(request.messages):
            written = [*self._message(f"messages[{place}]", message)]
            if message.role == ROLE_SYSTEM and not items:
                instructions += [_plain(each["content"]) for each in written]
            else:
                items += written
        if not instructions:
            return {"input": items}
        text = "\n\n".join(instructions)
        if not items:
            # It answers nothing without an input.
            return {"input": [{"role": "developer", "content": text}]}
        return {"instructions": text, "input": items}

    def _message(self, path: str, message: Message) -> Iterator[Wire]:
        """Its items, in the order in which they were said."""
        if message.name:
            self.unsupported.append(f"{path}.name")
        content: list[Wire] = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            place = f"{path}.parts[{index}]"
            if kind in _ITEMS:
                yield from _said(message, content)
                content = []
                yield from _ITEMS[kind](self, place, part)
            else:
                content += self._content(place, part, media=message.role == ROLE_USER)
        yield from _said(message, content)

    def _content(self, path: str, part: Part, *, media: bool) -> Iterator[Wire]:
        kind = part.WhichOneof("content") or ""
        if kind == "text":
            if part.text:
                yield {"type": "input_text", "text": part.text}
            return
        found = _SHOWN[kind](part) if media and kind in _SHOWN else None
        if found is not None:
            yield found
        else:
            self.unsupported.append(f"{path}.{kind}" if kind in MEDIA else path)

    def _thought(self, _: str, part: Part) -> Iterator[Wire]:
        item = thought_signatures.give_back(part.reasoning.signature, part.reasoning.text)
        if item is not None:
            yield item

    def _call(self, _: str, part: Part) -> Iterator[Wire]:
        call = part.tool_call
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": self._names.wire(call.name),
            "arguments": to_json(call.arguments).decode(),
        }

    def _result(self, path: str, part: Part) -> Iterator[Wire]:
        result: ToolResult = part.tool_result
        content: list[Wire] = []
        for index, each in enumerate(result.content):
            content += self._content(f"{path}.tool_result.content[{index}]", each, media=True)
        output: Any = _plain(content) if all(each["type"] == "input_text" for each in content) else content
        if not output and result.HasField("structured"):
            output = to_json(result.structured).decode()
        output = output or NOTHING[result.is_error]
        yield {"type": "function_call_output", "call_id": result.call_id, "output": output}


_ITEMS: Final[Mapping[str, Callable[[InputWriter, str, Part], Iterator[Wire]]]] = {
    "reasoning": InputWriter._thought,  # noqa: SLF001 - its own table
    "tool_call": InputWriter._call,  # noqa: SLF001
    "tool_result": InputWriter._result,  # noqa: SLF001
}


def _said(message: Message, content: list[Wire]) -> Iterator[Wire]:
    if not content:
        return
    texts_only = len(content) == 1 or message.role in {ROLE_ASSISTANT, ROLE_SYSTEM}
    plain = texts_only and all(each["type"] == "input_text" for each in content)
    yield {"role": ROLES[message.role], "content": _plain(content) if plain else content}


def _plain(content: str | list[Wire]) -> str:
    return content if isinstance(content, str) else "\n".join(each["text"] for each in content)


def _image(part: Part) -> Wire:
    return {
        "type": "input_image",
        "detail": "auto",
        "image_url": part.image.uri or _data_url(part.image),
    }


def _document(part: Part) -> Wire:
    document = part.document
    if document.uri:
        return {"type": "input_file", "file_url": document.uri}
    name = document.title or "document"
    return {"type": "input_file", "filename": name, "file_data": _data_url(document)}


_SHOWN: Final[Mapping[str, Callable[[Part], Wire]]] = {"image": _image, "document": _document}
"""No sounds: the API's messages take texts, pictures and files."""


def _data_url(media: Media | Document) -> str:
    return f"data:{media.media_type};base64,{base64.b64encode(media.data).decode()}"
