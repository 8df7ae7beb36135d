"""A flow, checked and compiled: what the machine runs. Immutable; shared by every conversation in it.

States nest, and are kept flat: each by its path, with what it inherits from those that hold it worked in, so
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
from clawdbot_dialogue.core.language.language_pack import Locale
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
    """A value to be worked out: for a call, a subflow or a slot."""

    build: Any
    """A dict or list of such; a Template; an Expression; or plain JSON."""

    @property
    def plain(self) -> bool:
        """Whether it is plain JSON, so that nothing is to be worked out."""
        return _is_plain(self.build)


def _is_plain(build: object) -> bool:
    if isinstance(build, dict):
        return all(map(_is_plain, build.values()))
    if isinstance(build, list):
        return all(map(_is_plain, build))
    return not isinstance(build, Expression | Template)


@dataclass(frozen=True, slots=True)
class Assign:
    """Fills a slot."""

    slot: str
    value: Argument


@dataclass(frozen=True, slots=True)
class Clear:
    """Empties a slot."""

    slot: str


@dataclass(frozen=True, slots=True)
class Utter:
    """Says something."""

    text: Template


@dataclass(frozen=True, slots=True)
class Raise:
    """Gives the flow an event, after what is under way."""

    event: str


Action: TypeAlias = Assign | Clear | Utter | Raise
"""What is done on the way: when a state is entered or left, or in between."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A way out of a state."""

    to: str
    """The path of a state; empty where the actions are all and no state is left."""
    source: str = ""
    """The state that it belongs to: itself, or one that holds it."""
    domain: str = ""
    """The innermost state that holds both ends and is not left; empty for the flow itself."""
    guard: Expression | None = None
    actions: tuple[Action, ...] = ()
    on_error: ErrorKind | None = None
    number: int = 0
    """Its position in the `next` of its source, from 0."""
    event: str = ""
    """For one that an event takes: its name, of which more may follow after a dot; "*" for any."""


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
    """Its slots and what they are filled with."""
    take: Mapping[str, str]
    """Slots here, and those of it that they are filled from."""


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
    source: str
    """The state that it belongs to, and the innermost that holds both ends, as a transition has them."""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Timeout:
    """What happens when nobody says anything."""

    after: float
    """Seconds."""
    to: str
    say: Template | None
    source: str
    """The state that it belongs to, and the innermost that holds both ends, as a transition has them."""
    domain: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One state. `errors`, `events`, `no_match` and `timeout` include what those that hold it have."""

    name: str
    """Its path: "booking.details"."""
    kind: StateKind
    order: int = 0
    """Its place in the document; whoever holds it comes before it."""
    ancestors: tuple[str, ...] = ()
    """The states that hold it, the outermost first."""
    regions: tuple[tuple[str, str], ...] = ()
    """For each parallel state that holds it: that state, and the region of it."""
    children: tuple[str, ...] = ()
    """The states within, in document order; of a parallel state its regions, compound states themselves."""
    initial: str = ""
    """Where a compound state begins, somewhere within it."""
    history: Literal["", "shallow", "deep"] = ""
    remembers: bool = False
    """Whether a history state beside its children wants to know which was left last."""
    joins: str = ""
    """For an end within a region: the parallel state, whose `next` it has; taken when all regions have
    ended."""
    entry: tuple[Action, ...] = ()
    exit: tuple[Action, ...] = ()
    say: Template | None = None
    collect: tuple[str, ...] = ()
    generation: Generation | None = None
    call: Call | None = None
    subflow: Subflow | None = None
    queue: str = ""
    """Of a hand-off."""
    wait: bool = False
    """A generate state that hears the person before it moves on."""
    next: tuple[Transition, ...] = ()
    """Taken when the state has done its work; an end within another state has that one's."""
    errors: tuple[Transition, ...] = ()
    """Taken when its tool, model or subflow failed."""
    events: tuple[Transition, ...] = ()
    """Taken when an event arrives while it waits."""
    no_match: NoMatch | None = None
    timeout: Timeout | None = None
    instructions: str = ""
    """For a model that helps to understand, as are model and tools."""
    model: str = ""
    """Of a collecting state: who is asked what a message means; empty for the rules alone."""
    tools: tuple[str, ...] = ()

    @property
    def parent(self) -> str:
        """The state that holds it; empty at the top."""
        return self.ancestors[-1] if self.ancestors else ""

    @property
    def final(self) -> bool:
        """Whether it ends the flow itself."""
        return self.kind == "end" and not self.ancestors


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
    askable: Mapping[str, Slot]
    """Whatever the person can be asked for, by its path: the slots, and the parts of those that have any."""
    composed: tuple[Slot, ...]
    """The slots that have parts or items."""
    states: Mapping[str, State]
    """Every state by its path, those that hold others included; in document order."""
    initial: str
    interrupts: Interrupts
    understanding: Literal["unclear", "always"]
    """When the model of a collecting state is asked what a message means."""
    vocabulary: Vocabulary
    help: Template | None
    on_cancel: Template | None
    on_handoff: str
    """The state for who wants a person; empty where there is none."""
    source: str
    """The YAML it was read from."""
    file: str
    warnings: tuple[Diagnostic, ...]
    variants: Mapping[str, Flow] = field(default_factory=dict)
    """The same flow in the other languages that it speaks, by locale."""

    @property
    def locales(self) -> tuple[str, ...]:
        """The languages that it speaks, the default first."""
        return (self.locale.name, *self.variants)

    def spoken(self, locale: str) -> Flow:
        """The flow in a language; in its default where it does not speak it."""
        return self.variants.get(locale, self)

    def language(self, tag: str) -> str:
        """The language of its own that a BCP 47 tag means ("zh-Hans-CN" → "zh"), else its default."""
        primary = tag.replace("_", "-").split("-")[0].lower()
        return primary if primary in self.locales else self.locale.name
