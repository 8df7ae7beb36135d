"""The models of a conversation file, which is YAML, and as strict about its keys as a flow file."""

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

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, DiagnosticCollector, TooManyErrors
from clawdbot_dialogue.core.flow.parse.schema_validation import Sections, report_errors
from clawdbot_dialogue.core.flow.parse.text_forms import Duration
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, parse_yaml


class InvalidConversationFile(ValueError):
    """A source that is not a valid conversation file; `diagnostics` says why, in source order."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("; ".join(f"{each.file}:{each.line}: {each.message}" for each in diagnostics))


def _datetime(given: Any) -> Any:
    try:
        return datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list) else [given]


def _model_stub(given: Any) -> Any:
    """Turns a text into the stub of a generation."""
    return {"text": given} if isinstance(given, str) else given


def _reply(given: Any) -> Any:
    """Turns a text into what a reply must contain: a regular expression if it is between slashes."""
    if not isinstance(given, str):
        return given
    is_pattern = len(given) > 1 and given.startswith("/") and given.endswith("/")
    return {"matches": given[1:-1]} if is_pattern else {"holds": given}


def _command(given: Any) -> Any:
    """Turns a name into a command without arguments."""
    return {given: {}} if isinstance(given, str) else given


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ToolStub(_Section):
    """The answer of a stubbed tool to one call, or to any number of them."""

    when: dict[str, Any] = Field(default_factory=dict)
    """Only for a call that has these among its arguments."""
    always: bool = False
    """Answers any number of matching calls, and is never reported as unused."""
    result: Any = None
    error: str | None = None
    unknown: bool = False

    @model_validator(mode="after")
    def _has_one_answer(self) -> ToolStub:
        if ("result" in self.model_fields_set) + (self.error is not None) + self.unknown > 1:
            raise ValueError("an answer can have only one of result, error, unknown")
        return self


class ModelStub(_Section):
    """The answer of the stubbed model to one request."""

    text: str = ""
    error: str | None = None


class InjectedEvent(_Section):
    """An event that is sent to the conversation."""

    name: str
    data: dict[str, Any] = Field(default_factory=dict)


class ExpectedReply(_Section):
    """What the replies must contain, given in one of three ways."""

    holds: str | None = None
    matches: str | None = None
    """A regular expression that must be found in them."""
    exactly: str | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern to search for in the replies, which are joined with line breaks."""
        if self.exactly is not None:
            return re.compile(rf"(?:\A|(?<=\n)){re.escape(self.exactly)}(?=\n|\Z)")
        return re.compile(re.escape(self.holds or "") if self.matches is None else self.matches)

    def __str__(self) -> str:
        if self.exactly is not None:
            return f"{self.exactly!r} and nothing more"
        return repr(self.holds if self.matches is None else f"/{self.matches}/")

    @model_validator(mode="after")
    def _is_valid(self) -> ExpectedReply:
        if sum(each is not None for each in (self.holds, self.matches, self.exactly)) != 1:
            raise ValueError("a reply must have exactly one of holds, matches, exactly")
        try:
            re.compile(self.matches or "")
        except re.error:
            raise ValueError("not a valid regular expression: check its brackets and backslashes") from None
        return self


Replies: TypeAlias = Annotated[
    list[Annotated[ExpectedReply, BeforeValidator(_reply)]], BeforeValidator(_as_list)
]
"""Texts, or mappings in the long form."""


class ExpectedToolCall(_Section):
    """A call that a step must make."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments that must be among those of the call."""


class Expectation(_Section):
    """What must be true after a step."""

    flow: str | None = None
    state: str | None = None
    status: Literal["active", "handed_off", "ended"] | None = None
    locale: str | None = None
    queue: str | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    """Slots and their values; null for no value."""
    reply: Replies = Field(default_factory=list)
    """What the replies must contain, in this order."""
    not_reply: Replies = Field(default_factory=list)
    """What the replies must not contain."""
    silent: bool = False
    """There must be no reply."""
    tool_calls: list[ExpectedToolCall] | None = None
    """All tool calls, in order."""
    commands: list[str] | None = None
    """All commands, in order; "name!" for a rejected one."""
    path: list[str] | None = None
    """All states that are entered, in order."""
    failed: str | None = None
    """The reason of the failure that the machine reports."""


_INPUTS = ("say", "event", "wait", "at")


class Step(_Section):
    """One step: an input, and what to expect after it."""

    say: str | None = None
    event: InjectedEvent | None = None
    wait: Duration | None = None
    """Moves the clock forward; timers that are due fire."""
    at: Annotated[datetime, BeforeValidator(_datetime)] | None = None
    """Moves the clock forward to this time; timers that are due fire."""
    commands: list[Annotated[dict[str, dict[str, Any]], BeforeValidator(_command), Field(max_length=1)]] = (
        Field(default_factory=list)
    )
    """With `say`: the commands that the model proposes when it is asked to interpret the message, each as
    {name: arguments}."""
    expect: Expectation = Field(default_factory=Expectation)

    @property
    def has_input(self) -> bool:
        """False for a step with `expect` alone, which checks the result of the step before it once more."""
        return any(getattr(self, name) is not None for name in _INPUTS)

    @model_validator(mode="after")
    def _has_one_input(self) -> Step:
        if sum(getattr(self, name) is not None for name in _INPUTS) > 1:
            raise ValueError(f"a step can have only one of {', '.join(_INPUTS)}")
        if self.commands and self.say is None:
            raise ValueError("`commands` needs `say`: they are what the model makes of the message")
        return self


class Conversation(_Section):
    """One conversation from its start; a first step with `expect` alone checks the greeting."""

    name: str
    flow: str | None = None
    locale: str | None = None
    now: Annotated[datetime, BeforeValidator(_datetime)] | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    """Initial values."""
    tools: dict[str, Annotated[list[ToolStub], BeforeValidator(_as_list)]] = Field(default_factory=dict)
    """The stubs of each tool; a call gets the first one that matches and is not used up."""
    model: list[Annotated[ModelStub, BeforeValidator(_model_stub)]] = Field(default_factory=list)
    """The model's answers, one per request."""
    steps: Annotated[list[Step], Field(min_length=1)]


class ConversationFile(_Section):
    """Conversations that test one flow."""

    flow: str
    locale: str = ""
    """The person's language, as a BCP 47 tag; empty for the flow's default."""
    now: Annotated[datetime, BeforeValidator(_datetime)]
    conversations: Annotated[list[Conversation], Field(min_length=1)]


_SECTIONS: Sections = (
    ((), ConversationFile),
    (("conversations", "*"), Conversation),
    (("conversations", "*", "tools", "*"), ToolStub),
    (("conversations", "*", "tools", "*", "*"), ToolStub),
    (("conversations", "*", "model", "*"), ModelStub),
    (("conversations", "*", "steps", "*"), Step),
    (("conversations", "*", "steps", "*", "event"), InjectedEvent),
    (("conversations", "*", "steps", "*", "expect"), Expectation),
    (("conversations", "*", "steps", "*", "expect", "tool_calls", "*"), ExpectedToolCall),
    *(
        (("conversations", "*", "steps", "*", "expect", *path), ExpectedReply)
        for path in (("reply",), ("reply", "*"), ("not_reply",), ("not_reply", "*"))
    ),
)


def load_conversations(source: str, file: str) -> tuple[ConversationFile, Document]:
    """A conversation file, and the document with the positions of everything in it.

    Args:
        source: YAML.
        file: The name to show in diagnostics.

    Raises:
        InvalidConversationFile: with every diagnostic.
    """
    diagnostics = DiagnosticCollector(file)
    with suppress(TooManyErrors):
        document = parse_yaml(source, diagnostics)
        parsed = _validate(document, diagnostics) if document else None
        if document is not None and parsed is not None and not diagnostics.has_errors:
            return parsed, document
    raise InvalidConversationFile(diagnostics.sorted())


def _validate(document: Document, diagnostics: DiagnosticCollector) -> ConversationFile | None:
    try:
        return ConversationFile.model_validate(document.data)
    except ValidationError as error:
        report_errors(error, document, _SECTIONS, diagnostics)
        return None
