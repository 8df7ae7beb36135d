"""The file of conversation tests: YAML, as strict about its keys as a flow file."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, Findings, TooManyErrors
from clawdbot_dialogue.core.flow.reading import Document, read
from clawdbot_dialogue.core.flow.shape import Sections, tell
from clawdbot_dialogue.core.flow.source import Duration


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


def is_pattern(wanted: str) -> bool:
    """Whether the text of a reply is written as a regular expression."""
    return len(wanted) > 1 and wanted.startswith("/") and wanted.endswith("/")


def _readable(wanted: str) -> str:
    if is_pattern(wanted):
        try:
            re.compile(wanted[1:-1])
        except re.error as error:
            raise ValueError(f"{wanted} is no regular expression: {error}") from None
    return wanted


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ToolAnswer(_Section):
    """What a stubbed tool answers to one call."""

    result: Any = None
    error: str | None = None
    unknown: bool = False


class ModelAnswer(_Section):
    """What the scripted model answers to one request."""

    text: str = ""
    error: str | None = None


class EventGiven(_Section):
    """An event that nobody said."""

    name: str
    data: dict[str, Any] = Field(default_factory=dict)


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
    queue: str | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    """Slots and their values; null: without value."""
    reply: Annotated[list[Annotated[str, AfterValidator(_readable)]], BeforeValidator(_listed)] = Field(
        default_factory=list
    )
    """Texts that the replies must hold, in this order; /…/ is a regular expression."""
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


_DOINGS = ("say", "event", "wait")


class StepGiven(_Section):
    """One step: something happens, something is expected."""

    say: str | None = None
    event: EventGiven | None = None
    wait: Duration | None = None
    """Nothing happens for so long; a timer that is due in that time fires."""
    expect: Expectation = Field(default_factory=Expectation)

    @property
    def happens(self) -> bool:
        """Whether anything happens: a step with `expect` alone looks once more at what was."""
        return any(getattr(self, doing) is not None for doing in _DOINGS)

    @model_validator(mode="after")
    def _one_thing(self) -> StepGiven:
        if sum(getattr(self, doing) is not None for doing in _DOINGS) > 1:
            raise ValueError(f"a step is one of {', '.join(_DOINGS)}")
        return self


class Conversation(_Section):
    """One conversation from its opening; a first step with `expect` alone looks at the opening words."""

    name: str
    flow: str | None = None
    now: Annotated[datetime, BeforeValidator(_moment)] | None = None
    slots: dict[str, Any] = Field(default_factory=dict)
    tools: dict[str, list[ToolAnswer]] = Field(default_factory=dict)
    """For each tool its answers, one a call."""
    model: list[Annotated[ModelAnswer, BeforeValidator(_text)]] = Field(default_factory=list)
    """The model's answers, one a request."""
    steps: Annotated[list[StepGiven], Field(min_length=1)]


class ConversationFile(_Section):
    """Conversations about one flow."""

    flow: str
    now: Annotated[datetime, BeforeValidator(_moment)]
    conversations: Annotated[list[Conversation], Field(min_length=1)]


_SECTIONS: Sections = (
    ((), ConversationFile),
    (("conversations", "*"), Conversation),
    (("conversations", "*", "tools", "*", "*"), ToolAnswer),
    (("conversations", "*", "model", "*"), ModelAnswer),
    (("conversations", "*", "steps", "*"), StepGiven),
    (("conversations", "*", "steps", "*", "event"), EventGiven),
    (("conversations", "*", "steps", "*", "expect"), Expectation),
    (("conversations", "*", "steps", "*", "expect", "tool_calls", "*"), ToolCallExpected),
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
