"""Encodes messages of typed parts as Gemini's contents.

Instructions have a field of their own, all of them together. Reasoning goes back only with one of Gemini's
thought signatures: it ignores any other.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

import orjson
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    ToolCall,
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
    with_first_words,
)
from clawdbot_model_gateway.formats.data_urls import inlined
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.tool_call import arguments_object, structured_text

JsonObject = dict[str, Any]

ROLES: Final = {ROLE_USER: "user", ROLE_ASSISTANT: "model", ROLE_TOOL: "user"}
MEDIA_KINDS: Final = frozenset({"image", "audio", "document"})
RESULT_MEDIA_TYPES: Final = frozenset(
    {"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}
)
"""Media types that a tool result may contain, from Gemini 3 on."""


class MessageEncoder:
    """Encodes the messages of one request and collects what the format has no field for."""

    def __init__(self, names: ToolNames, *, gemini_3: bool) -> None:
        """Args: gemini_3: whether the model is Gemini 3 or later."""
        self._names = names
        self._gemini_3 = gemini_3
        self._tool_of_call: dict[str, str] = {}
        """Call id → its tool's name, for results that do not name their tool."""
        self._needs_signature = False
        """Whether the next call is the first of its content, which must have a thought signature."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""
        self.left_out: list[str] = []
        """Paths of reasoning that was left out."""
        self.repairs = Repairs()

    def encode(self, request: GenerateRequest) -> JsonObject:
        """`contents` and, if there are instructions, `systemInstruction`."""
        instructions: list[JsonObject] = []
        contents: list[JsonObject] = []
        last_role: int | None = None
        prepared = with_first_words(prepare(request.messages, self.repairs))
        # Neighbours of one role become one content: Gemini requires results of parallel calls together.
        for role, group in groupby(prepared, key=lambda pair: pair[1].role):
            self._needs_signature = self._gemini_3
            parts = [part for index, message in group for part in self._message(index, message)]
            if role == ROLE_SYSTEM:
                instructions += parts
            elif parts and role == last_role:
                # What was between them has nothing for Gemini, which refuses two contents of one role.
                contents[-1]["parts"] += parts
            elif parts:
                contents.append({"role": ROLES[role], "parts": parts})
                last_role = role
        if not contents:
            # The API refuses a request without contents, so lone instructions are sent as the user's.
            return {"contents": [{"role": "user", "parts": instructions or [{"text": EMPTY_MESSAGE}]}]}
        body: JsonObject = {"contents": contents}
        if instructions:
            body["systemInstruction"] = {"parts": instructions}
        return body

    def _message(self, index: int, message: Message) -> Iterator[JsonObject]:
        path = f"messages[{index}]"
        if message.name:
            self.unsupported.append(f"{path}.name")
        for part_index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind in MEDIA_KINDS:
                media_path = f"{path}.parts[{part_index}].{kind}"
                yield from self._media(media_path, getattr(part, kind), message.role)
            elif kind == "tool_result":
                yield self._tool_result(f"{path}.parts[{part_index}].tool_result", part.tool_result)
            elif kind in _PART_ENCODERS:
                signature = part.tool_call.signature
                if signature and not thought_signatures.unwrap(signature):
                    self.left_out.append(f"{path}.parts[{part_index}].tool_call.signature")
                if kind == "reasoning" and not thought_signatures.unwrap(part.reasoning.signature):
                    self.left_out.append(f"{path}.parts[{part_index}].reasoning")
                yield from _PART_ENCODERS[kind](self, part)

    def _text(self, part: Part) -> Iterator[JsonObject]:
        if not is_blank(part.text):
            yield {"text": part.text}

    def _reasoning(self, part: Part) -> Iterator[JsonObject]:
        """A thought, or the thought signature that followed a text in a part of its own."""
        signature = thought_signatures.unwrap(part.reasoning.signature)
        if not signature:
            return
        thought = {"thought": True} if part.reasoning.text else {}
        yield {"text": part.reasoning.text, **thought, "thoughtSignature": signature}

    def _tool_call(self, part: Part) -> Iterator[JsonObject]:
        call: ToolCall = part.tool_call
        self._tool_of_call[call.id] = call.name
        signature = thought_signatures.unwrap(call.signature) or (
            thought_signatures.SKIP_VALIDATION if self._needs_signature else ""
        )
        self._needs_signature = False
        function = {"id": call.id, "name": self._names.to_wire(call.name), "args": arguments_object(call)}
        yield {"functionCall": function, **({"thoughtSignature": signature} if signature else {})}

    def _media(self, path: str, media: Media | Document, role: int) -> Iterator[JsonObject]:
        if role not in {ROLE_USER, ROLE_ASSISTANT}:
            self.unsupported.append(path)
            return
        if isinstance(media, Document) and media.title:
            # Inline data has no field for a name.
            yield {"text": f"{media.title}:"}
        media = inlined(media)
        if media.data:
            yield {"inlineData": _inline(media)}
            return
        mime_type = {"mimeType": media.media_type} if media.media_type else {}
        yield {"fileData": {"fileUri": media.uri, **mime_type}}

    def _tool_result(self, path: str, result: ToolResult) -> JsonObject:
        # The API matches a result with its call by the name as well.
        name = self._tool_of_call.get(result.call_id) or result.name or result.call_id
        texts: list[str] = []
        media: list[JsonObject] = []
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            medium = inlined(getattr(part, kind)) if kind in MEDIA_KINDS else None
            if kind == "text":
                texts += [] if is_blank(part.text) else [part.text]
            elif (
                medium is not None
                and self._gemini_3
                and medium.data
                and medium.media_type in RESULT_MEDIA_TYPES
            ):
                media.append({"inlineData": _inline(medium)})
            else:
                self.unsupported.append(f"{path}.content[{index}]")
        output: Any = "\n".join(texts)
        if not output:
            structured = structured_text(result)
            output = orjson.Fragment(structured) if structured else EMPTY_RESULTS[result.is_error]
        response = {"error" if result.is_error else "output": output}
        function: JsonObject = {"id": result.call_id, "name": self._names.to_wire(name), "response": response}
        if media:
            function["parts"] = media
        return {"functionResponse": function}


_PART_ENCODERS: Final[Mapping[str, Callable[[MessageEncoder, Part], Iterator[JsonObject]]]] = {
    "text": MessageEncoder._text,  # noqa: SLF001 - its own table
    "reasoning": MessageEncoder._reasoning,  # noqa: SLF001
    "tool_call": MessageEncoder._tool_call,  # noqa: SLF001
}


def _inline(media: Media | Document) -> JsonObject:
    return {"mimeType": media.media_type, "data": base64.b64encode(media.data).decode()}
