"""What of a transcript a model is shown: its end, cut before a person's words, so that calls keep results.

Where it does not fit, pictures and other media go before words do, the oldest first: their place is marked.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part

MEDIA = ("image", "audio", "document")


def fit_to_budget(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """The longest end of the transcript that takes at most `limit` bytes and begins with a person's words.

    The shortest such end stays whatever its words take; a transcript that fits stays whole.
    """
    messages = _lightened(messages, limit)
    first: int | None = None
    size = 0
    for position in range(len(messages) - 1, -1, -1):
        size += messages[position].ByteSize()
        if size > limit and first is not None:
            return messages[first:]
        if messages[position].role == ROLE_USER:
            first = position
    return messages


def _lightened(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """The messages with as many media named instead of shown as it takes to fit, if that helps."""
    size = sum(message.ByteSize() for message in messages)
    if size <= limit:
        return messages
    lighter = list(messages)
    for position, message in enumerate(messages):
        if size <= limit:
            break
        named = _named(message)
        if named is not message:
            lighter[position] = named
            size -= message.ByteSize() - named.ByteSize()
    return lighter


def _named(message: Message) -> Message:
    """The message with its media as words; itself where it has none."""
    if not any(_heavy(part) for part in message.parts):
        return message
    named = Message()
    named.CopyFrom(message)
    for part in named.parts:
        _name(part)
        if part.HasField("tool_result"):
            for each in part.tool_result.content:
                _name(each)
    return named


def _heavy(part: Part) -> bool:
    if part.HasField("tool_result"):
        return any(_heavy(each) for each in part.tool_result.content)
    return part.WhichOneof("content") in MEDIA


def _name(part: Part) -> None:
    kind = part.WhichOneof("content")
    if kind in MEDIA:
        title = f" {part.document.title}" if kind == "document" and part.document.title else ""
        part.text = f"[{kind}{title}, shown earlier]"
