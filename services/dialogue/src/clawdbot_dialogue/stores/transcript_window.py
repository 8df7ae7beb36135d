"""Cuts a session's transcripts to those of its most recent turns."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot.common.v1.message_pb2 import Message


def recent_whole_turns(
    transcripts: Iterable[Iterable[Message]], limit: int
) -> tuple[tuple[Message, ...], ...]:
    """Returns the messages of the last turns that have some, oldest turn first.

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
    return tuple(reversed(kept))
