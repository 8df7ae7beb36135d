"""A flow, checked and compiled: what the machine runs. Immutable; shared by every conversation in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.expressions import Expression
from clawdbot_dialogue.core.flow.slots import Slot
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.understanding.locale import Locale
from clawdbot_dialogue.core.understanding.vocabulary import Vocabulary

StateKind = Literal["collect", "say", "generate", "call", "handoff", "choice", "end"]
ToolEffect = Literal["none", "repeatable", "once"]
ErrorKind = Literal["any", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A way out of a state."""

    to: str
    guard: Expression | None = None
    say: Template | None = None
    clear: tuple[str, ...] = ()
    on_error: ErrorKind | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """What a call is given: JSON whose texts may be templates or expressions."""

    build: object
    """A dict or list of such; a Template; an Expression; or plain JSON."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call."""

    tool: str
    arguments: Mapping[str, Argument]
    effect: ToolEffect


@dataclass(frozen=True, slots=True)
class Generation:
    """What the model is asked for."""

    instructions: Template
    model: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoMatch:
    """What happens when messages are not understood."""

    retries: int
    to: str
    """Empty: ask again, however often."""
    say: Template | None


@dataclass(frozen=True, slots=True)
class Timeout:
    """What happens when nobody says anything."""

    after: float
    """Seconds."""
    to: str
    say: Template | None


@dataclass(frozen=True, slots=True)
class State:
    """One state."""

    name: str
    kind: StateKind
    say: Template | None = None
    collect: tuple[str, ...] = ()
    generation: Generation | None = None
    call: Call | None = None
    queue: str = ""
    """Of a hand-off."""
    wait: bool = False
    """A generate state that hears the person before it moves on."""
    next: tuple[Transition, ...] = ()
    """Taken when the state has done its work."""
    errors: tuple[Transition, ...] = ()
    """Taken when its tool or model failed."""
    events: Mapping[str, tuple[Transition, ...]] = field(default_factory=dict)
    """Taken when an event of that name arrives while it waits."""
    no_match: NoMatch | None = None
    timeout: Timeout | None = None
    instructions: str = ""
    """For a model that helps to understand, as are model and tools."""
    model: str = ""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interrupts:
    """What a person may do in the middle of the flow."""

    flows: tuple[str, ...] = ()
    """Flows that may be started; this one goes on after them."""
    cancel: bool = True
    resume: Literal["reask", "silent"] = "reask"


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One version of a flow."""

    name: str
    version: int
    description: str
    locale: Locale
    slots: Mapping[str, Slot]
    states: Mapping[str, State]
    initial: str
    interrupts: Interrupts
    vocabulary: Vocabulary
    help: Template | None
    on_cancel: Template | None
    on_handoff: str
    """The state for who wants a person; empty where there is none."""
    source: str
    """The YAML it was read from."""
    file: str
    warnings: tuple[Diagnostic, ...]
