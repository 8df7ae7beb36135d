"""What a line of the log says of content: its length, never its words.

An error's text may repeat what the failing code was given: a vendor quotes the prompt, a library the value.
So the log has the class and the length of such texts, and the lines of code of a traceback. Only the setting
telemetry.log_content adds the words.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

MAX_CHAIN: Final = 20
"""Exceptions of one traceback: causes, contexts and members of groups."""

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


class Content:
    """A text for the log that may repeat what people, models or tools said."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return length_of(self.text)


def length_of(text: str) -> str:
    """What to log in place of a text."""
    return f"({len(text)} characters)"


def content_processors(*, show: bool) -> tuple[Processor, ...]:
    """The processors that show content, or put its length in its place, in fields and in exceptions."""
    if show:
        return (_show_content, structlog.processors.format_exc_info)
    return (_shorten_asyncio, structlog.processors.ExceptionRenderer(_format_exception))


def _show_content(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, Content):
            event[key] = value.text
    return event


def _shorten_asyncio(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leaves the objects out that asyncio adds to a message: a task's repr has its exception's text."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _format_exception(exc_info: ExcInfo) -> str:
    return "".join(_lines(exc_info[1])).rstrip()


def _lines(error: BaseException | None) -> Iterator[str]:
    """As Python prints an exception and its causes, oldest first, without what they say."""
    chain: list[tuple[BaseException, str]] = []
    link = ""
    while error is not None and len(chain) < MAX_CHAIN and all(error is not each for each, _ in chain):
        chain.append((error, link))
        link = _CONTEXT if error.__cause__ is None else _CAUSE
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for each, link in reversed(chain):
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(each.__traceback__)
        yield f"{_name(each)}{_description(each)}\n"
        if isinstance(each, BaseExceptionGroup):
            for member in _members(each):
                yield f"  with {_name(member)}{_description(member)}\n"
                yield from (f"  {line}" for line in traceback.format_tb(member.__traceback__))
        yield link


def _members(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group and in the groups inside it."""
    members: list[BaseException] = []
    pending: list[BaseException] = list(group.exceptions)
    while pending and len(members) < MAX_CHAIN:
        each = pending.pop(0)
        if isinstance(each, BaseExceptionGroup):
            pending[:0] = each.exceptions
        else:
            members.append(each)
    return members


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _description(error: BaseException) -> str:
    """The text of the operating system and of SQLite, which quote no values; of other errors the length."""
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno is not None:
        return f": {error.strerror}"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot be printed is logged all the same
        return ""
    if type(error).__module__ == "sqlite3":
        return f": {text}"
    return f": {length_of(text)}" if text else ""
