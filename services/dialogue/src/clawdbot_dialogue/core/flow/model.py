"""A flow, checked and compiled: what the machine runs. Immutable; shared by every session that runs it.

States nest, but are kept flat: each under its path, with what it inherits from its ancestors merged in, so
that the machine looks at one state at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.language.language_pack import LanguagePack
from clawdbot_dialogue.core.language.vocabulary import Vocabulary

StateKind = Literal[
    "collect",
    "say",
    "generate",
    "call",
    "subflow",
    "handoff",
    "choice",
    "end",
    "compound",
    "parallel",
    "history",
]
ToolEffect = Literal["none", "repeatable", "once"]
ErrorKind = Literal["any", "failed", "unknown", "cancelled"]


@dataclass(frozen=True, slots=True)
class Argument:
    """A value to be evaluated: for a call, a subflow or a slot."""

    tree: Any
    """A dict or list of these; a Template; an Expression; or plain JSON."""

    @property
    def is_literal(self) -> bool:
        """Whether it is plain JSON, so that there is nothing to evaluate."""
        return _is_literal(self.tree)


def _is_literal(tree: object) -> bool:
    if isinstance(tree, dict):
        return all(map(_is_literal, tree.values()))
    if isinstance(tree, list):
        return all(map(_is_literal, tree))
    return not isinstance(tree, Expression | Template)


@dataclass(frozen=True, slots=True)
class Assign:
    """Sets a slot."""

    slot: str
    value: Argument


@dataclass(frozen=True, slots=True)
class Clear:
    """Removes a slot's value."""

    slot: str


@dataclass(frozen=True, slots=True)
class Utter:
    """Says something to the person."""

    text: Template


@dataclass(frozen=True, slots=True)
class Raise:
    """Queues an event for the flow itself, after the current step."""

    event: str


Action: TypeAlias = Assign | Clear | Utter | Raise
"""Executable content: run when a state is entered or exited, or on a transition."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition out of a state."""

    to: str
    """The path of the target state; empty for a targetless transition, which only runs its actions."""
    source: str = ""
    """The state that declares it: the active state, or one of its ancestors."""
    domain: str = ""
    """The innermost state that contains both ends and is not exited; empty for the flow itself."""
    guard: Expression | None = None
    actions: tuple[Action, ...] = ()
    on_error: ErrorKind | None = None
    number: int = 0
    """Its index in the `next` of its source, from 0."""
    event: str = ""
    """The event that it is taken on: "order" also matches "order.paid"; "*" matches any."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call."""

    tool: str
    arguments: Mapping[str, Argument]
    effect: ToolEffect


@dataclass(frozen=True, slots=True)
class Subflow:
    """A call of another flow."""

    flow: str
    give: Mapping[str, Argument]
    """Inputs: slots of the subflow → their values."""
    take: Mapping[str, str]
    """Outputs: slots of this flow → the slots of the subflow that they are set from."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A request to the model for text."""

    instructions: Template
    model: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoMatch:
    """What happens when messages are not understood."""

    retries: int
    to: str
    """The target; empty to ask again without limit."""
    say: Template | None
    source: str
    """The state that declares it; source and domain are as those of a transition."""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Timeout:
    """What happens when the person is silent."""

    after: float
    """Seconds."""
    to: str
    say: Template | None
    source: str
    """The state that declares it; source and domain are as those of a transition."""
    domain: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One state. `errors`, `events`, `no_match` and `timeout` include those inherited from its ancestors."""

    name: str
    """Its path: "booking.details"."""
    kind: StateKind
    order: int = 0
    """Its position in document order; parents come before their children."""
    ancestors: tuple[str, ...] = ()
    """Outermost first."""
    regions: tuple[tuple[str, str], ...] = ()
    """For each parallel ancestor: that state, and the region that this one is in."""
    children: tuple[str, ...] = ()
    """The child states in document order; for a parallel state its regions, which are compound states."""
    initial: str = ""
    """For a compound state: the descendant that is entered by default."""
    history: Literal["", "shallow", "deep"] = ""
    records_history: bool = False
    """Whether a history state is among its children, so that its last active states must be recorded."""
    joins: str = ""
    """For an end inside a region: the parallel state. Its `next` is taken when all regions have ended."""
    entry: tuple[Action, ...] = ()
    exit: tuple[Action, ...] = ()
    say: Template | None = None
    collect: tuple[str, ...] = ()
    generation: Generation | None = None
    call: Call | None = None
    subflow: Subflow | None = None
    queue: str = ""
    """For a handoff: the queue."""
    wait: bool = False
    """For a generate state: whether it waits for a message before it moves on."""
    next: tuple[Transition, ...] = ()
    """Taken when the state has done its work; an end inside a composite state has the parent's."""
    errors: tuple[Transition, ...] = ()
    """Taken when its tool, model or subflow failed."""
    events: tuple[Transition, ...] = ()
    """Taken when an event arrives while it waits."""
    no_match: NoMatch | None = None
    timeout: Timeout | None = None
    instructions: str = ""
    """For the model that interprets messages in a collect state, as are model and tools."""
    model: str = ""
    """The model that interprets messages in a collect state; empty if only the rules do."""
    tools: tuple[str, ...] = ()

    @property
    def parent(self) -> str:
        """The path of its parent; empty at the top."""
        return self.ancestors[-1] if self.ancestors else ""

    @property
    def final(self) -> bool:
        """Whether it ends the flow itself."""
        return self.kind == "end" and not self.ancestors


@dataclass(frozen=True, slots=True)
class Interrupts:
    """What the person may do in the middle of the flow."""

    flows: tuple[str, ...] = ()
    """Flows that may interrupt this one; it continues after them."""
    cancel: bool = True
    resume: Literal["reask", "silent"] = "reask"


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One version of a flow."""

    name: str
    version: int
    description: str
    locale: LanguagePack
    slots: Mapping[str, Slot]
    askable: Mapping[str, Slot]
    """Everything that the person can be asked for, by its path: slots, and the parts of composite ones."""
    composite_slots: tuple[Slot, ...]
    """The composite slots: those with parts or items."""
    states: Mapping[str, State]
    """Every state by its path, composite ones included; in document order."""
    initial: str
    interrupts: Interrupts
    understanding: Literal["unclear", "always"]
    """When the model of a collect state is asked to interpret a message."""
    vocabulary: Vocabulary
    help: Template | None
    on_cancel: Template | None
    on_handoff: str
    """The state to go to when the person asks for a human; empty if there is none."""
    source: str
    """The YAML that it was compiled from."""
    file: str
    warnings: tuple[Diagnostic, ...]
    variants: Mapping[str, Flow] = field(default_factory=dict)
    """The same flow in its other languages, by locale."""

    @property
    def locales(self) -> tuple[str, ...]:
        """Its languages, the default first."""
        return (self.locale.name, *self.variants)

    def in_language(self, locale: str) -> Flow:
        """The flow in a language; in its default one if it does not have that language."""
        return self.variants.get(locale, self)

    def resolve_language(self, tag: str) -> str:
        """The flow's language that matches a BCP 47 tag ("zh-Hans-CN" → "zh"), else its default one.

        Subtags are dropped from the end until one matches: the lookup of RFC 4647.
        """
        known = {each.lower(): each for each in self.locales}
        wanted = tag.replace("_", "-").lower()
        while wanted and wanted not in known:
            wanted = wanted.rpartition("-")[0]
        return known.get(wanted, self.locale.name)
