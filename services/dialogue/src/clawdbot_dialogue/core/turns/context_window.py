"""Chooses the part of a transcript that a model is shown: its end, within a budget of bytes.

It is cut before a message of the person, so that every tool call keeps its result. If the transcript does not
fit, images and other media are replaced by labels first, the oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part

MEDIA = ("image", "audio", "document")


def fit_to_budget(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """Returns the longest end of the transcript that takes at most `limit` bytes and begins with the person.

    The shortest such end is returned whatever its size; a transcript that fits is returned whole.
    """
    messages = _replace_old_media(messages, limit)
    first: int | None = None
    size = 0
    for position in range(len(messages) - 1, -1, -1):
        size += messages[position].ByteSize()
        if size > limit and first is not None:
            return messages[first:]
        if messages[position].role == ROLE_USER:
            first = position
    return messages


def _replace_old_media(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """The messages with labels in place of media, in as many of the oldest as it takes to fit."""
    size = sum(message.ByteSize() for message in messages)
    if size <= limit:
        return messages
    replaced = list(messages)
    for position, message in enumerate(messages):
        if size <= limit:
            break
        labelled = _with_labels(message)
        if labelled is not message:
            replaced[position] = labelled
            size -= message.ByteSize() - labelled.ByteSize()
    return replaced


def _with_labels(message: Message) -> Message:
    """A copy of the message with labels in place of its media; the message itself if it has none."""
    if not any(_has_media(part) for part in message.parts):
        return message
    labelled = Message()
    labelled.CopyFrom(message)
    for part in labelled.parts:
        _replace_media(part)
        if part.HasField("tool_result"):
            for content in part.tool_result.content:
                _replace_media(content)
    return labelled


def _has_media(part: Part) -> bool:
    if part.HasField("tool_result"):
        return any(_has_media(content) for content in part.tool_result.content)
    return part.WhichOneof("content") in MEDIA


def _replace_media(part: Part) -> None:
    kind = part.WhichOneof("content")
    if kind in MEDIA:
        title = f" {part.document.title}" if kind == "document" and part.document.title else ""
        part.text = f"[{kind}{title}, shown earlier]"
