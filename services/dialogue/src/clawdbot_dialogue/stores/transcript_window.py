"""Cuts a transcript to its most recent turns."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot.common.v1.message_pb2 import Message


def recent_whole_turns(transcripts: Iterable[Iterable[Message]], limit: int) -> tuple[Message, ...]:
    """Returns the end of a transcript, oldest message first.

    Args:
        transcripts: The messages of each turn, newest turn first. Read only as far as needed.
        limit: How many messages are returned at most; but at least one turn is, however long it is.
    """
    kept: list[tuple[Message, ...]] = []
    left = limit
    for transcript in transcripts:
        messages = tuple(transcript)
        if not messages:
            continue
        if kept and len(messages) > left:
            break
        kept.append(messages)
        left -= len(messages)
    return tuple(message for messages in reversed(kept) for message in messages)
