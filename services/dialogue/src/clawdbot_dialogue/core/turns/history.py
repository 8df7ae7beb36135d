"""What of a transcript a model is shown: its end, cut before a person's words, so that calls keep results."""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot.common.v1.message_pb2 import ROLE_USER, Message


def fitting(messages: Sequence[Message], limit: int) -> Sequence[Message]:
    """The longest end of the transcript that takes at most `limit` bytes and begins with a person's words.

    The shortest such end stays whatever it takes; a transcript that fits stays whole.
    """
    first: int | None = None
    size = 0
    for position in range(len(messages) - 1, -1, -1):
        size += messages[position].ByteSize()
        if size > limit and first is not None:
            return messages[first:]
        if messages[position].role == ROLE_USER:
            first = position
    return messages
