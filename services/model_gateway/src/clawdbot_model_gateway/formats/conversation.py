"""Puts a conversation into the form that every vendor takes, before it is written in one vendor's format.

Vendors refuse a text that is empty or blank, a message between the results of one message's calls, a call
without a result, a result without a call, two calls with one id, and, but for OpenAI and Google, a request
without a question. Some refuse an assistant that speaks first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

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
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.formats.tool_call import CallIds

Numbered: TypeAlias = list[tuple[int, Message]]
"""Messages, each with its position in the request, for paths in warnings."""

EMPTY_MESSAGE: Final = "(empty message)"
"""What a person said whose message is blank: an answer to it is still expected. Vendors refuse a request
without messages, so it also stands for a conversation that the format has no field for."""
BEGINNING: Final = "(the conversation begins)"
"""What a person says before an assistant that greets."""
NO_RESULT: Final = "There is no result: the conversation was interrupted before the tool had answered."
"""The result of a call that has none in the conversation, such as one that broke off."""
CONTINUE: Final = "(continue)"
"""What a person says after an assistant who speaks last, to models that begin no reply with its words."""
EMPTY_RESULTS: Final = {False: "(no output)", True: "The tool failed and said nothing."}
"""Whether a tool failed → the text of its empty result, which reads as if the tool had not run."""
REPAIRED: Final = "CONVERSATION_REPAIRED"
"""The code of the warnings about calls and results that do not belong together. Strict requests do not fail
for it: no field is without effect."""


@dataclass(slots=True)
class Repairs:
    """What had to be changed, so that calls and results belong together."""

    unanswered: list[str] = field(default_factory=list)
    """Paths of calls that got an error as their result."""
    strays: list[str] = field(default_factory=list)
    """Paths of results that were left out: of no call, or a second one of a call."""

    def warnings(self) -> Iterator[Warning]:
        """At most two."""
        if self.unanswered:
            message = f"{_number_of('tool call', self.unanswered)} without a result: answered with an error."
            yield Warning(code=REPAIRED, field=self.unanswered[0], message=message)
        if self.strays:
            message = f"{_number_of('tool result', self.strays)} without a call: left out."
            yield Warning(code=REPAIRED, field=self.strays[0], message=message)


def prepare(messages: Iterable[Message], repairs: Repairs | None = None) -> Numbered:
    """The messages that say something, with results right after their calls. There is at least one.

    Args:
        messages: of the request.
        repairs: what had to be changed is added here; None: nobody asks.
    """
    kept: Numbered = []
    has_tools = False
    for index, message in enumerate(messages):
        parts = message.parts
        if len(parts) == 1 and not is_blank(parts[0].text):
            kept.append((index, message))  # The fast path for nearly every message.
            continue
        kinds = {part.WhichOneof("content") for part in parts if not _is_blank_text(part)}
        has_tools = has_tools or not kinds.isdisjoint(_TOOL_KINDS)
        if kinds:
            kept.append((index, message))
        elif message.role == ROLE_USER:
            kept.append((index, _saying_nothing(message)))
    if has_tools:
        kept = _paired(kept, repairs or Repairs())
    return kept or [(0, _saying_nothing(Message()))]


def with_question(messages: Numbered) -> Numbered:
    """The messages; the last one is the user's if all are instructions."""
    if any(message.role != ROLE_SYSTEM for _, message in messages):
        return messages
    index, last = messages[-1]
    return [*messages[:-1], (index, Message(role=ROLE_USER, parts=last.parts, name=last.name))]


def with_first_words(messages: Numbered) -> Numbered:
    """The messages; the user is the first to speak: some vendors refuse an assistant that greets."""
    first = next((at for at, (_, each) in enumerate(messages) if each.role != ROLE_SYSTEM), None)
    if first is None or messages[first][1].role != ROLE_ASSISTANT:
        return messages
    begun = Message(role=ROLE_USER, parts=[Part(text=BEGINNING)])
    return [*messages[:first], (messages[first][0], begun), *messages[first:]]


def is_blank(text: str) -> bool:
    """Whether it is empty or white space."""
    return not text or text.isspace()


def _is_blank_text(part: Part) -> bool:
    return part.WhichOneof("content") == "text" and is_blank(part.text)


def _saying_nothing(message: Message) -> Message:
    return Message(role=ROLE_USER, name=message.name, parts=[Part(text=EMPTY_MESSAGE)])


_TOOL_KINDS: Final = frozenset({"tool_call", "tool_result"})


def _paired(messages: Numbered, repairs: Repairs) -> Numbered:
    """The messages, with the results of each message's calls right after it, and one for each call."""
    results, repeated = _results_of_calls(messages, repairs)
    paired: Numbered = []
    whole: set[int] = set()
    """Positions of messages that were taken with all of their parts."""
    for position, (index, message) in enumerate(messages):
        if index in whole:
            continue
        if not any(part.HasField("tool_result") for part in message.parts):
            paired.append((index, message))
        elif rest := [part for part in message.parts if not part.HasField("tool_result")]:
            paired.append((index, Message(role=message.role, name=message.name, parts=rest)))
        answers = results.get(index, {})
        for number, (at, parts) in enumerate(answers.items(), 1):
            after = dict(messages[position + number : position + number + 1]).get(at)
            if after is not None and _is_whole(after, parts, last=number == len(answers)):
                whole.add(at)
                paired.append((at, after))
            else:
                role = ROLE_TOOL if after is None else after.role
                paired.append((at, Message(role=role, parts=parts)))
    return _with_unique_ids(paired) if repeated else paired


def _is_whole(message: Message, results: list[Part], *, last: bool) -> bool:
    """Whether the message is in its place: these are all of its results, and others may only follow them."""
    others = sum(not part.HasField("tool_result") for part in message.parts)
    return len(message.parts) == len(results) + others and (last or not others)


def _results_of_calls(messages: Numbered, repairs: Repairs) -> tuple[dict[int, dict[int, list[Part]]], bool]:
    """Position of a message with calls → positions of the messages with their results → those results.

    And whether two calls have one id, as with models that number their calls anew in each reply: then a
    result belongs to the latest message with such a call.
    """
    results: dict[int, dict[int, list[Part]]] = {}
    waiting: dict[str, list[tuple[int, str, ToolCall]]] = {}
    repeated = False
    for index, message in messages:
        for part_index, part in enumerate(message.parts):
            path = f"messages[{index}].parts[{part_index}]"
            if part.HasField("tool_call"):
                results.setdefault(index, {})
                repeated = repeated or part.tool_call.id in waiting
                waiting.setdefault(part.tool_call.id, []).append((index, path, part.tool_call))
            elif part.HasField("tool_result"):
                calls = waiting.get(part.tool_result.call_id)
                if not calls:
                    repairs.strays.append(f"{path}.tool_result")
                    continue
                latest = calls[-1][0]
                calls.remove(next(each for each in calls if each[0] == latest))
                results[latest].setdefault(index, []).append(part)
    for index, path, call in [each for calls in waiting.values() for each in calls]:
        repairs.unanswered.append(f"{path}.tool_call")
        missing = ToolResult(call_id=call.id, name=call.name, content=[Part(text=NO_RESULT)], is_error=True)
        results[index].setdefault(index, []).append(Part(tool_result=missing))
    return results, repeated


def _with_unique_ids(messages: Numbered) -> Numbered:
    """The messages, each call's result after it, with another id for each call whose id is taken."""
    ids, renamed = CallIds("call"), list[tuple[int, Message]]()
    waiting: dict[str, deque[str]] = {}
    for index, message in messages:
        copy = Message()
        copy.CopyFrom(message)
        for part in copy.parts:
            if part.HasField("tool_call"):
                call_id = ids.unique(part.tool_call.id)
                waiting.setdefault(part.tool_call.id, deque()).append(call_id)
                part.tool_call.id = call_id
            elif part.HasField("tool_result"):
                part.tool_result.call_id = waiting[part.tool_result.call_id].popleft()
        renamed.append((index, copy))
    return renamed


def _number_of(thing: str, paths: list[str]) -> str:
    return f"1 {thing}" if len(paths) == 1 else f"{len(paths)} {thing}s"
