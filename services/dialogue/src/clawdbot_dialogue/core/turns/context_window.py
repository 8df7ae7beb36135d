"""Chooses the part of a transcript that a model is shown: its end, within a budget of bytes.

It is cut before a message of the person, so that every tool call keeps its result. If the transcript does not
fit, images and other media are replaced by labels first, the oldest first. Labels also replace media that the
policy refuses, which have been stored when it was more generous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part
from clawdbot_servicekit.media_policy import MediaPolicy

MEDIA: Final = ("image", "audio", "document")


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


def without_refused_media(messages: Sequence[Message], policy: MediaPolicy) -> Sequence[Message]:
    """Returns the messages with labels in place of media that the policy refuses."""
    return [
        _with_labels(message, "not allowed", lambda part: not policy.allows(part)) for message in messages
    ]


def has_media(message: Message) -> bool:
    """Returns whether the message, or a tool result in it, contains media."""
    return any(_is_media(part) for part in _leaves(message))


def _replace_old_media(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """The messages with labels in place of media, in as many of the oldest as it takes to fit."""
    size = sum(message.ByteSize() for message in messages)
    if size <= limit:
        return messages
    replaced = list(messages)
    for position, message in enumerate(messages):
        if size <= limit:
            break
        labelled = _with_labels(message, "shown earlier", _is_media)
        if labelled is not message:
            replaced[position] = labelled
            size -= message.ByteSize() - labelled.ByteSize()
    return replaced


def _with_labels(message: Message, note: str, is_replaced: Callable[[Part], bool]) -> Message:
    """A copy of the message with labels in place of some of its media; the message itself if it has none."""
    if not any(is_replaced(part) for part in _leaves(message) if _is_media(part)):
        return message
    labelled = Message()
    labelled.CopyFrom(message)
    for part in _leaves(labelled):
        if _is_media(part) and is_replaced(part):
            kind = part.WhichOneof("content")
            title = f" {part.document.title}" if kind == "document" and part.document.title else ""
            part.text = f"[{kind}{title}, {note}]"
    return labelled


def _leaves(message: Message) -> Iterator[Part]:
    """The message's parts, and what its tool results contain in their place."""
    for part in message.parts:
        if part.HasField("tool_result"):
            yield from part.tool_result.content
        else:
            yield part


def _is_media(part: Part) -> bool:
    return part.WhichOneof("content") in MEDIA
