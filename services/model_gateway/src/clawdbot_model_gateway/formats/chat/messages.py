"""Encodes messages of typed parts as Chat Completions' messages.

The format has no field for reasoning: it goes back under the name that the vendor's profile has for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    ToolCall,
    ToolResult,
)

from clawdbot_model_gateway.formats.chat.reasoning_details import unwrap
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.conversation import EMPTY_RESULTS, is_blank
from clawdbot_model_gateway.formats.data_urls import data_url, inlined
from clawdbot_model_gateway.formats.gemini import thought_signatures
from clawdbot_model_gateway.formats.tool_call import arguments_text, structured_text
from clawdbot_model_gateway.formats.vendor_profile import VendorProfile

JsonObject = dict[str, Any]

ROLES: Final = {
    ROLE_SYSTEM: "system",
    ROLE_USER: "user",
    ROLE_ASSISTANT: "assistant",
    ROLE_TOOL: "tool",
}
AUDIO_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
"""Media type → Chat Completions' name for it; it takes no others."""


class MessageEncoder:
    """Encodes the messages of one request and collects the parts that the format has no field for."""

    def __init__(
        self, names: ToolNames, profile: VendorProfile, unsigned: str = "", *, has_tools: bool = False
    ) -> None:
        """An encoder.

        Args:
            names: of the request's tools.
            profile: the vendor's.
            unsigned: what a message's first call has in place of a thought signature, if it has none.
            has_tools: whether the request has tools.
        """
        self._names = names
        self._profile = profile
        self._unsigned = unsigned
        self._needs_reasoning = profile.needs_reasoning and has_tools
        """Whether each message of the assistant needs its reasoning, and not only those with calls."""
        self._after_tool = False
        """Whether the last message is a tool's result."""
        self._returned: list[JsonObject] = []
        """Images and documents that tools returned. The format takes them only from a user, and no message
        may stand between the results of one message's calls."""
        self.unsupported: list[str] = []
        """Paths of parts that were left out."""
        self.left_out: list[str] = []
        """Paths of reasoning that was left out."""

    def encode(self, index: int, message: Message) -> Iterator[JsonObject]:
        """One message as one or, if it contains several tool results, several."""
        parts = message.parts
        if self._after_tool and not any(part.HasField("tool_result") for part in parts):
            yield from self._end_of_results(message.role)
        if len(parts) == 1 and parts[0].WhichOneof("content") == "text":
            # The fast path for nearly every message.
            text = {"role": ROLES[message.role], "content": parts[0].text}
            if self._needs_reasoning and message.role == ROLE_ASSISTANT:
                text[self._profile.reasoning_field] = NO_REASONING
            yield self._with_name(text, index, message)
            return
        for part_index, part in enumerate(parts):
            if part.WhichOneof("content") == "tool_result":
                self._after_tool = True
                yield self._tool_result(f"messages[{index}].parts[{part_index}]", part.tool_result)
        content = self._content(f"messages[{index}].parts", message)
        made = (part.tool_call for part in parts if part.WhichOneof("content") == "tool_call")
        calls = [self._tool_call(call, first=index == 0) for index, call in enumerate(made)]
        reasoning = self._reasoning(f"messages[{index}].parts", message)
        if not content and not calls:
            # The format has no message of reasoning alone.
            self.left_out += _reasoning_paths(f"messages[{index}].parts", message) if reasoning else []
            return
        if self._after_tool:
            yield from self._end_of_results(message.role)
        wire: JsonObject = {"role": ROLES[message.role], "content": content or None}
        if calls:
            wire["tool_calls"] = calls
        wire.update(self._reasoning_fields(message, reasoning, content, calls=bool(calls)))
        yield self._with_name(wire, index, message)

    def flush(self) -> Iterator[JsonObject]:
        """The message with the media that the last message's tools returned."""
        if self._returned:
            yield from self._end_of_results(ROLE_USER)

    def _end_of_results(self, role: int) -> Iterator[JsonObject]:
        """What comes between the results of calls and a message of the role."""
        self._after_tool = False
        if self._profile.assistant_after_tool and (self._returned or role != ROLE_ASSISTANT):
            yield {"role": "assistant", "content": AFTER_TOOL}
        if self._returned:
            yield {"role": "user", "content": self._returned}
            self._returned = []

    def _reasoning_fields(self, message: Message, reasoning: str, content: Any, *, calls: bool) -> JsonObject:
        """What an assistant's message has for its reasoning, which may be its content in another form."""
        profile = self._profile
        if not reasoning and message.role == ROLE_ASSISTANT:
            needed = self._needs_reasoning or (calls and profile.needs_reasoning)
            reasoning = NO_REASONING if needed else ""
        fields: JsonObject = {profile.reasoning_field: reasoning} if reasoning else {}
        if reasoning and profile.reasoning_field == "content":
            fields["content"] = IN_TAGS.format(reasoning=reasoning, content=content)
        if self._profile.reasoning_details and (details := _details(message)):
            fields["reasoning_details"] = details
        return fields

    def _reasoning(self, path: str, message: Message) -> str:
        """The reasoning that the vendor takes back. A signature marks another format's: this one has none."""
        taken = []
        for index, part in enumerate(message.parts):
            if part.WhichOneof("content") == "reasoning":
                reasoning = part.reasoning
                if self._profile.reasoning_details and unwrap(reasoning.signature):
                    continue
                if self._profile.reasoning_field and not reasoning.signature and not reasoning.redacted:
                    taken.append(reasoning.text)
                else:
                    self.left_out.append(f"{path}[{index}].reasoning")
            elif part.tool_call.signature and not self._signature(part.tool_call):
                self.left_out.append(f"{path}[{index}].tool_call.signature")
        return "".join(taken)

    def _call_id(self, call_id: str) -> str:
        """An id that the vendor takes; the same for the call and its result."""
        if re.fullmatch(self._profile.call_ids, call_id):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[:CALL_ID_LENGTH]

    def _content(self, path: str, message: Message) -> str | list[JsonObject]:
        """A string if there is only text, since every server takes that; otherwise a list of parts."""
        texts: list[str] = []
        encoded: list[JsonObject] = []
        for index, part in enumerate(message.parts):
            kind = part.WhichOneof("content") or ""
            if kind == "text":
                if not is_blank(part.text):
                    texts.append(part.text)
                    encoded.append({"type": "text", "text": part.text})
            elif kind in _MEDIA_ENCODERS:
                media = _MEDIA_ENCODERS[kind](part) if message.role == ROLE_USER else None
                if media is None:
                    self.unsupported.append(f"{path}[{index}].{kind}")
                else:
                    encoded.append(media)
        return encoded if len(encoded) > len(texts) else "\n".join(texts)

    def _tool_call(self, call: ToolCall, *, first: bool) -> JsonObject:
        function = {"name": self._names.to_wire(call.name), "arguments": arguments_text(call)}
        signature = self._signature(call) or (self._unsigned if first else "")
        signed = thought_signatures.extra_content(signature) if signature else {}
        return {"id": self._call_id(call.id), "type": "function", "function": function, **signed}

    def _signature(self, call: ToolCall) -> str:
        """The call's signature, if the vendor takes it back."""
        return thought_signatures.unwrap(call.signature) if self._profile.thought_signatures else ""

    def _tool_result(self, path: str, result: ToolResult) -> JsonObject:
        texts, before = [], len(self._returned)
        for index, part in enumerate(result.content):
            kind = part.WhichOneof("content") or ""
            media = _MEDIA_ENCODERS[kind](part) if kind in _MEDIA_ENCODERS else None
            if kind == "text":
                texts += [] if is_blank(part.text) else [part.text]
            elif media is not None:
                caption = MEDIA_CAPTION.format(name=result.name or "a tool", call=result.call_id)
                self._returned += [{"type": "text", "text": caption}, media]
            else:
                self.unsupported.append(f"{path}.tool_result.content[{index}]")
        text = "\n".join(texts) or structured_text(result)
        if not text and len(self._returned) > before:
            text = SHOWN_BELOW
        return {
            "role": "tool",
            "tool_call_id": self._call_id(result.call_id),
            "content": text or EMPTY_RESULTS[result.is_error],
        }

    def _with_name(self, wire: JsonObject, index: int, message: Message) -> JsonObject:
        if message.name and self._profile.takes_names:
            wire["name"] = _NOT_IN_NAMES.sub("_", message.name)[:MAX_NAME_LENGTH]
        elif message.name:
            self.unsupported.append(f"messages[{index}].name")
        return wire


def in_order(messages: list[JsonObject], profile: VendorProfile) -> list[JsonObject]:
    """The messages with roles that the vendor takes in this order."""
    if profile.system_role_late != "system":
        begun = False
        for message in messages:
            if message["role"] == "system" and begun:
                message["role"] = profile.system_role_late
            begun = begun or message["role"] != "system"
    if not profile.alternates:
        return messages
    joined: list[JsonObject] = []
    for message in messages:
        last = joined[-1] if joined else {}
        if last.get("role") == message["role"] != "tool" and "tool_calls" not in {*last, *message}:
            last["content"] = _joined(last["content"], message["content"])
        else:
            joined.append(message)
    return joined


def _joined(content: str | list[JsonObject], more: str | list[JsonObject]) -> str | list[JsonObject]:
    if isinstance(content, str) and isinstance(more, str):
        return f"{content}\n\n{more}"
    lists = ([{"type": "text", "text": each}] if isinstance(each, str) else each for each in (content, more))
    return [part for each in lists for part in each]


_NOT_IN_NAMES: Final = re.compile(r"[\s<|\\/>]")
"""What OpenAI refuses in the name of a speaker."""
MAX_NAME_LENGTH: Final = 64
IN_TAGS: Final = "<think>\n{reasoning}\n</think>\n\n{content}"
"""A text with its reasoning, as MiniMax's models write it."""
NO_REASONING: Final = " "
"""In place of the reasoning of what another model or a flow made: Kimi refuses an empty text."""
AFTER_TOOL: Final = "(the tools have answered)"
"""What the assistant says between a result and a person's message, where the vendor wants it to."""
CALL_ID_LENGTH: Final = 9
"""Characters of an id in place of one that the vendor does not take: Mistral wants exactly these."""
MEDIA_CAPTION: Final = "Returned by {name} (call {call}):"
"""Precedes an image or document that a tool returned."""
SHOWN_BELOW: Final = "(shown below)"


def _reasoning_paths(path: str, message: Message) -> list[str]:
    kinds = [part.WhichOneof("content") for part in message.parts]
    return [f"{path}[{index}].reasoning" for index, kind in enumerate(kinds) if kind == "reasoning"]


def _details(message: Message) -> list[Any]:
    return [each for part in message.parts for each in unwrap(part.reasoning.signature)]


def _image(part: Part) -> JsonObject | None:
    image = inlined(part.image)
    return {"type": "image_url", "image_url": {"url": image.uri or data_url(image)}}


def _audio(part: Part) -> JsonObject | None:
    audio = inlined(part.audio)
    audio_format = AUDIO_FORMATS.get(audio.media_type)
    if audio_format is None or not audio.data:
        return None
    return {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(audio.data).decode(), "format": audio_format},
    }


def _document(part: Part) -> JsonObject | None:
    document = inlined(part.document)
    if not document.data:
        return None
    name = document.title or "document"
    return {"type": "file", "file": {"filename": name, "file_data": data_url(document)}}


_MEDIA_ENCODERS: Final[dict[str, Callable[[Part], JsonObject | None]]] = {
    "image": _image,
    "audio": _audio,
    "document": _document,
}
