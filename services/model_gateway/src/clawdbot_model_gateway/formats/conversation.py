"""Puts a conversation into the form that every vendor takes, before it is written in one vendor's format.

Vendors refuse a text that is empty or blank, a message between the results of one message's calls, and, but
for OpenAI and Google, a request without a question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, ROLE_USER, Message, Part

Numbered: TypeAlias = list[tuple[int, Message]]
"""Messages, each with its position in the request, for paths in warnings."""

EMPTY_MESSAGE: Final = "(empty message)"
"""What a person said whose message is blank: an answer to it is still expected."""


def prepare(messages: Iterable[Message]) -> Numbered:
    """The messages that say something, with results right after their calls. There is at least one."""
    kept: Numbered = []
    has_results = False
    for index, message in enumerate(messages):
        parts = message.parts
        if len(parts) == 1 and not is_blank(parts[0].text):
            kept.append((index, message))  # The fast path for nearly every message.
            continue
        kinds = {part.WhichOneof("content") for part in parts if not _is_blank_text(part)}
        has_results = has_results or "tool_result" in kinds
        if kinds:
            kept.append((index, message))
        elif message.role == ROLE_USER:
            kept.append((index, _saying_nothing(message)))
    if not kept:
        return [(0, _saying_nothing(Message()))]
    return _with_results_after_calls(kept) if has_results else kept


def with_question(messages: Numbered) -> Numbered:
    """The messages; the last one is the user's if all are instructions."""
    if any(message.role != ROLE_SYSTEM for _, message in messages):
        return messages
    index, last = messages[-1]
    return [*messages[:-1], (index, Message(role=ROLE_USER, parts=last.parts, name=last.name))]


def is_blank(text: str) -> bool:
    """Whether it is empty or white space."""
    return not text or text.isspace()


def _is_blank_text(part: Part) -> bool:
    return part.WhichOneof("content") == "text" and is_blank(part.text)


def _saying_nothing(message: Message) -> Message:
    return Message(role=ROLE_USER, name=message.name, parts=[Part(text=EMPTY_MESSAGE)])


def _with_results_after_calls(messages: Numbered) -> Numbered:
    ordered: Numbered = []
    later: Numbered = []
    """What came between the results of one message's calls."""
    open_calls: set[str] = set()
    for index, message in messages:
        calls = {part.tool_call.id for part in message.parts if part.HasField("tool_call")}
        results = {part.tool_result.call_id for part in message.parts if part.HasField("tool_result")}
        if open_calls and not results and not calls:
            later.append((index, message))
            continue
        open_calls -= results
        if calls:
            # The next calls: those that are still open got no result.
            ordered += later
            later, open_calls = [], calls
        if results and open_calls:
            results_only, rest = _split(message)
            ordered.append((index, results_only))
            later += [(index, rest)] if rest.parts else []
            continue
        ordered.append((index, message))
        if not open_calls:
            ordered += later
            later = []
    return ordered + later


def _split(message: Message) -> tuple[Message, Message]:
    """The results of a message, and what else is in it."""
    results = [part for part in message.parts if part.HasField("tool_result")]
    rest = [part for part in message.parts if not part.HasField("tool_result")]
    return Message(role=message.role, parts=results), Message(role=message.role, parts=rest)
