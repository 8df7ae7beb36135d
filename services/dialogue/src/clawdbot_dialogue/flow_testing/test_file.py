"""The file of conversation tests: YAML, as strict about its keys as a flow file."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, Findings, TooManyErrors
from clawdbot_dialogue.core.flow.parse.schema_validation import Sections, tell
from clawdbot_dialogue.core.flow.parse.source_model import Duration
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, read


class ConversationInvalid(ValueError):
    """A source that is no conversation file; `diagnostics` says why, in source order."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("; ".join(f"{each.file}:{each.line}: {each.message}" for each in diagnostics))


def _moment(given: Any) -> Any:
    try:
        return datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _listed(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


def _text(given: Any) -> Any:
    """The text of a reply alone, for a generation."""
    return {"text": given} if isinstance(given, str) else given


def _reply(given: Any) -> Any:
    """A text alone, for what a reply holds: as it is, or between slashes as a regular expression."""
    if not isinstance(given, str):
        return given
    slashed = len(given) > 1 and given.startswith("/") and given.endswith("/")
    return {"matches": given[1:-1]} if slashed else {"holds": given}


def _command(given: Any) -> Any:
    """The name of a command alone, for one without arguments."""
    return {given: {}} if isinstance(given, str) else given


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ToolAnswer(_Section):
    """What a stubbed tool answers to one call, or to any number of them."""

    when: dict[str, Any] = Field(default_factory=dict)
    """Only for a call that has these among its arguments."""
    always: bool = False
    """For every call that fits, however many there are; none is no failure."""
    result: Any = None
    error: str | None = None
    unknown: bool = False

    @model_validator(mode="after")
    def _one_answer(self) -> ToolAnswer:
        if ("result" in self.model_fields_set) + (self.error is not None) + self.unknown > 1:
            raise ValueError("an answer is one of result, error, unknown")
        return self


class ModelAnswer(_Section):
    """What the scripted model answers to one request."""

    text: str = ""
    error: str | None = None


class EventGiven(_Section):
    """An event that nobody said."""

    name: str
    data: dict[str, Any] = Field(default_factory=dict)


class ReplyExpected(_Section):
    """What a reply must be, in one of three ways."""

    holds: str | None = None
    matches: str | None = None
    """A regular expression, to be found somewhere in it."""
    exactly: str | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """What to look for in the replies, one on a line."""
        if self.exactly is not None:
            return re.compile(rf"(?:\A|(?<=\n)){re.escape(self.exactly)}(?=\n|\Z)")
        return re.compile(re.escape(self.holds or "") if self.matches is None else self.matches)

    def __str__(self) -> str:
        if self.exactly is not None:
            return f"{self.exactly!r} and no more"
        return repr(self.holds if self.matches is None else f"/{self.matches}/")

    @model_validator(mode="after")
    def _readable(self) -> ReplyExpected:
        if sum(each is not None for each in (self.holds, self.matches, self.exactly)) != 1:
            raise ValueError("a reply is one of holds, matches, exactly")
        try:
            re.compile(self.matches or "")
        except re.error as error:
            raise ValueError(f"/{self.matches}/ is no regular expression: {error}") from None
        return self


Replies: TypeAlias = Annotated[
    list[Annotated[ReplyExpected, BeforeValidator(_reply)]], BeforeValidator(_listed)
]
"""Texts, or mappings that say more."""


class ToolCallExpected(_Section):
    """A call that a step must make."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments that must be among the call's."""


class Expectation(_Section):
    """What must hold after a step."""

    flow: str | None = None
    state: str | None = None
    status: Literal["active", "handed_off", "ended"] | None = None
    locale: str | None = None
    queue: str | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    """Slots and their values; null: without value."""
    reply: Replies = Field(default_factory=list)
    """What the replies must hold, in this order."""
    not_reply: Replies = Field(default_factory=list)
    """What none of the replies may hold."""
    silent: bool = False
    """Nothing may be said."""
    tool_calls: list[ToolCallExpected] | None = None
    """All the calls that are made, in order."""
    commands: list[str] | None = None
    """All the commands that are understood, in order; "name!" for one that is refused."""
    path: list[str] | None = None
    """All the states that are entered, in order."""
    failed: str | None = None
    """The reason of the failure that the machine declares."""


_DOINGS = ("say", "event", "wait", "at")


class StepGiven(_Section):
    """One step: something happens, something is expected."""

    say: str | None = None
    event: EventGiven | None = None
    wait: Duration | None = None
    """Nothing happens for so long; a timer that is due in that time fires."""
    at: Annotated[datetime, BeforeValidator(_moment)] | None = None
    """The same, until then."""
    commands: list[Annotated[dict[str, dict[str, Any]], BeforeValidator(_command), Field(max_length=1)]] = (
        Field(default_factory=list)
    )
    """With `say`: what the model that helps to understand proposes, each as {name: arguments}."""
    expect: Expectation = Field(default_factory=Expectation)

    @property
    def happens(self) -> bool:
        """Whether anything happens: a step with `expect` alone looks once more at what was."""
        return any(getattr(self, doing) is not None for doing in _DOINGS)

    @model_validator(mode="after")
    def _one_thing(self) -> StepGiven:
        if sum(getattr(self, doing) is not None for doing in _DOINGS) > 1:
            raise ValueError(f"a step is one of {', '.join(_DOINGS)}")
        if self.commands and self.say is None:
            raise ValueError("commands are what a model makes of what is said: they need `say`")
        return self


class Conversation(_Section):
    """One conversation from its opening; a first step with `expect` alone looks at the opening words."""

    name: str
    flow: str | None = None
    locale: str | None = None
    now: Annotated[datetime, BeforeValidator(_moment)] | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    tools: dict[str, Annotated[list[ToolAnswer], BeforeValidator(_listed)]] = Field(default_factory=dict)
    """For each tool its answers; a call gets the first that fits and is left."""
    model: list[Annotated[ModelAnswer, BeforeValidator(_text)]] = Field(default_factory=list)
    """The model's answers, one a request."""
    steps: Annotated[list[StepGiven], Field(min_length=1)]


class ConversationFile(_Section):
    """Conversations about one flow."""

    flow: str
    locale: str = ""
    """The person's language, as a BCP 47 tag; empty for the flow's default."""
    now: Annotated[datetime, BeforeValidator(_moment)]
    conversations: Annotated[list[Conversation], Field(min_length=1)]


_SECTIONS: Sections = (
    ((), ConversationFile),
    (("conversations", "*"), Conversation),
    (("conversations", "*", "tools", "*"), ToolAnswer),
    (("conversations", "*", "tools", "*", "*"), ToolAnswer),
    (("conversations", "*", "model", "*"), ModelAnswer),
    (("conversations", "*", "steps", "*"), StepGiven),
    (("conversations", "*", "steps", "*", "event"), EventGiven),
    (("conversations", "*", "steps", "*", "expect"), Expectation),
    (("conversations", "*", "steps", "*", "expect", "tool_calls", "*"), ToolCallExpected),
    *(
        (("conversations", "*", "steps", "*", "expect", *path), ReplyExpected)
        for path in (("reply",), ("reply", "*"), ("not_reply",), ("not_reply", "*"))
    ),
)


def load_conversations(source: str, file: str) -> tuple[ConversationFile, Document]:
    """A conversation file, and where everything in it stands.

    Args:
        source: YAML.
        file: The name to show in diagnostics.

    Raises:
        ConversationInvalid: with every diagnostic.
    """
    findings = Findings(file)
    with suppress(TooManyErrors):
        document = read(source, findings)
        parsed = _parsed(document, findings) if document else None
        if document is not None and parsed is not None and not findings.failed:
            return parsed, document
    raise ConversationInvalid(findings.sorted())


def _parsed(document: Document, findings: Findings) -> ConversationFile | None:
    try:
        return ConversationFile.model_validate(document.data)
    except ValidationError as error:
        tell(error, document, _SECTIONS, findings)
        return None
