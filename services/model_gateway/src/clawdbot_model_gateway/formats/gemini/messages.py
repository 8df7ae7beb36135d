"""Messages of typed parts as Gemini's contents.

Instructions have a place of their own, all of them together. Of what a model thought, only that goes back
which bears Gemini's proof: it reads nothing else of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
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
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.structs import to_plain

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini import thought_signatures

Wire = dict[str, Any]

ROLES: Final = {ROLE_USER: "user", ROLE_ASSISTANT: "model", ROLE_TOOL: "user"}
MEDIA: Final = frozenset({"image", "audio", "document"})
IN_RESULTS: Final = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""Media types that may stand in a tool's result, from Gemini 3 on."""

NOTHING: Final = {False: "(no output)", True: "The tool failed and said nothing."}


class ContentWriter:
    """Writes the messages of one request, and notes what the wire has no place for."""

    def __init__(self, names: ToolNames, *, modern: bool) -> None:
        """Args: modern: whether the model is Gemini 3 or later."""
        self._names = names
        self._modern = modern
        self._called: dict[str, str] = {}
        """Id of a call → its tool, for results that do not name theirs."""
        self._unproved = False
        """Whether the next call is the first of its content, which must bear a proof."""
        self.unsupported: list[str] = []
        """Paths of what was left out."""

    def write(self, request: GenerateRequest) -> Wire:
        """`contents` and, where there are instructions, `systemInstruction`."""
        instructions: list[Wire] = []
        contents: list[Wire] = []
        # Neighbours of one role are one content: Gemini wants the results of parallel calls together.
        for role, group in groupby(enumerate(request.messages), key=lambda each: each[1].role):
            self._unproved = self._modern
            parts = [part for place, message in group for part in self._message(place, message)]
            if role == ROLE_SYSTEM:
                instructions += parts
            elif parts:
                contents.append({"role": ROLES[role], "parts": parts})
        if not contents:
            # It answers nothing without contents, so instructions alone are said to it instead.
            return {"contents": [{"role": "user", "parts": instructions}]}
        wire: Wire = {"contents": contents}
        if instructions:
            wire["systemInstruction"] = {"parts": instructions}
        return wire

    def _message(self, place: int, message: Message) -> Iterator[Wire]:
        path = f"messages[{place}]"
        if message.name:
            self.unsupported.append(f"{path}.name")
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind in MEDIA:
                yield from self._media(f"{path}.parts[{index}].{kind}", getattr(part, kind), message.role)
            elif kind == "tool_result":
                yield self._tool_result(f"{path}.parts[{index}].tool_result", part.tool_result)
            elif kind in _SAID:
                yield from _SAID[kind](self, part)

    def _text(self, part: Part) -> Iterator[Wire]:
        if part.text:
            yield {"text": part.text}

    def _thought(self, part: Part) -> Iterator[Wire]:
        """A thought, or the proof that followed a text and stood alone."""
        signature = thought_signatures.give_back(part.reasoning.signature)
        if not signature:
            return
        thought = {"thought": True} if part.reasoning.text else {}
        yield {"text": part.reasoning.text, **thought, "thoughtSignature": signature}

    def _call(self, part: Part) -> Iterator[Wire]:
        call: ToolCall = part.tool_call
        self._called[call.id] = call.name
        signature = thought_signatures.give_back(call.signature) or (
            thought_signatures.SKIP if self._unproved else ""
        )
        self._unproved = False
        function = {"id": call.id, "name": self._names.wire(call.name), "args": to_plain(call.arguments)}
        yield {"functionCall": function, **({"thoughtSignature": signature} if signature else {})}

    def _media(self, path: str, media: Media | Document, role: int) -> Iterator[Wire]:
        if role not in {ROLE_USER, ROLE_ASSISTANT}:
            self.unsupported.append(path)
            return
        if isinstance(media, Document) and media.title:
            # Data has no name on this wire.
            yield {"text": f"{media.title}:"}
        if media.data:
            yield {"inlineData": _inline(media)}
            return
        kind = {"mimeType": media.media_type} if media.media_type else {}
        yield {"fileData": {"fileUri": media.uri, **kind}}

    def _tool_result(self, path: str, result: ToolResult) -> Wire:
        name = result.name or self._called.get(result.call_id, "") or result.call_id
        texts: list[str] = []
        media: list[Wire] = []
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            shown = getattr(part, kind) if kind in MEDIA else None
            if kind == "text":
                texts.append(part.text)
            elif shown is not None and self._modern and shown.data and shown.media_type in IN_RESULTS:
                media.append({"inlineData": _inline(shown)})
            else:
                self.unsupported.append(f"{path}.content[{index}]")
        said: Any = "\n".join(texts)
        if not said:
            plain = to_plain(result.structured) if result.HasField("structured") else None
            said = NOTHING[result.is_error] if plain is None else plain
        response = {"error" if result.is_error else "output": said}
        function: Wire = {"id": result.call_id, "name": self._names.wire(name), "response": response}
        if media:
            function["parts"] = media
        return {"functionResponse": function}


_SAID: Final[Mapping[str, Callable[[ContentWriter, Part], Iterator[Wire]]]] = {
    "text": ContentWriter._text,  # noqa: SLF001 - its own table
    "reasoning": ContentWriter._thought,  # noqa: SLF001
    "tool_call": ContentWriter._call,  # noqa: SLF001
}


def _inline(media: Media | Document) -> Wire:
    return {"mimeType": media.media_type, "data": base64.b64encode(media.data).decode()}
