"""The shape of a flow file: what keys there are, what they hold, and what each is for.

The published JSON Schema is generated from these models, descriptions included, so they are written for
whoever writes flows in an editor. What one key means for another (a transition to a state that is not there)
is checked elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clawdbot_dialogue.core.flow.parse.localized import PerLocale
from clawdbot_dialogue.core.language.language_pack import LOCALES

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
StateName = Annotated[str, Field(pattern=r"^\w[\w-]{0,63}$")]
StatePath = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=1000)]
"""A state as seen from where it is named: beside that place, else one level up, and so on; dots lead down."""
FlowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Duration = Annotated[
    str,
    Field(pattern=r"^\d{1,6}(\.\d{1,3})?(s|m|h|d)$", description="As in 30s, 10m, 2h, 1d.", examples=["10m"]),
]
Text = Annotated[str, Field(min_length=1, max_length=10_000), PerLocale()]
"""Words for the person. {slot} is a gap for a slot's value, {result.key} for what a tool returned."""
Instructions = Annotated[str, Field(min_length=1, max_length=10_000), PerLocale(needed=False)]
"""Words for a model, which reads any language."""
Phrases = Annotated[list[Annotated[str, Field(min_length=1, max_length=10_000)]], PerLocale()]
"""What a person says."""
EventName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
Guard = Annotated[str, Field(min_length=1, max_length=1000)]
MOST_SLOTS = 500
"""Slots of one flow; the message that expressions are checked against holds some thousands."""


def _values(given: Any) -> Any:
    """A list of values is a mapping of values without synonyms."""
    return {each: [] for each in given} if isinstance(given, list) and all(map(_is_text, given)) else given


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _actions(given: Any) -> Any:
    """One action alone is the only one there."""
    return [given] if isinstance(given, dict) else given


def _subflow(given: Any) -> Any:
    """A flow's name alone is a call that gives and takes nothing."""
    return {"flow": given} if isinstance(given, str) else given


def _transitions(given: Any) -> Any:
    """A state's name alone is the one transition there."""
    return [{"to": given}] if isinstance(given, str) else given


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SlotSource(_Section):
    """Something the flow wants to know."""

    type: Literal[
        "string",
        "integer",
        "number",
        "boolean",
        "date",
        "time",
        "datetime",
        "duration",
        "money",
        "enum",
        "email",
        "phone",
        "object",
        "list",
    ] = Field(description="What kind of value it is.")
    called: Text | None = Field(
        None, description="What it is called in sentences; its name, unless this says else."
    )
    ask: Text | None = Field(None, description="How the person is asked for it.")
    fill: Literal["any", "asked_only"] = Field(
        "any",
        description="any: taken from whatever is said. asked_only: only from the answer to its question, "
        "and asked anew whenever its state is entered, as a confirmation is.",
    )
    min: int | float | str | None = Field(
        None,
        description='The least value; for a date also "today", "today+1d"; for a datetime "now+2h"; for a '
        'duration "30m".',
    )
    max: int | float | str | None = Field(
        None,
        description='The greatest value; for a date also "today+90d"; for a datetime "now+14d"; for a '
        'duration "2h".',
    )
    min_length: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Least number of characters."
    )
    max_length: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="Most characters.")
    pattern: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="A regular expression (RE2) that the whole text matches."
    )
    values: Annotated[
        dict[str, Phrases],
        BeforeValidator(_values, json_schema_input_type=dict[str, Phrases] | list[str]),
    ] = Field(default_factory=dict, description="For an enum: its values, each with other words for it.")
    hints: Phrases = Field(
        default_factory=list, description="Words that point to this slot: people, guests (beside a number)."
    )
    currencies: list[Annotated[str, Field(pattern=r"^[A-Z]{3}$")]] = Field(
        default_factory=list,
        description="For money: the ISO 4217 codes that it may be in; the first is meant where none is said.",
    )
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="For a phone: the country whose numbers need no country code, such as GB."
    )
    fields: dict[Name, SlotSource] = Field(
        default_factory=dict,
        description="For an object: its fields, each written as a slot is, asked for one after the other.",
    )
    required: bool | None = Field(
        None,
        description="For a field: false where the object is whole without it. It is then never asked for.",
    )
    items: SlotSource | None = Field(
        None, description="For a list: what its items are, written as a slot is."
    )
    more: Text | None = Field(
        None,
        description="For a list: asked after each answer, until the person says no. Without it the first "
        "answer that names enough is the list.",
    )
    min_items: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="For a list: least number of items; 1, unless this says else."
    )
    max_items: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="For a list: most items; 100, unless this says else."
    )


class TransitionSource(_Section):
    """A way out of a state."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["to"]}, {"required": ["event"]}]},
    )

    to: StatePath | None = Field(
        None, description="The state to go to. Only with `event` it may be left out: the state stays."
    )
    if_: Guard | None = Field(None, alias="if", description="A CEL expression: taken only where it is true.")
    say: Text | None = Field(None, description="Said on the way.")
    clear: list[Name] = Field(default_factory=list, description="Slots to forget on the way.")
    set_: dict[Name, Any] = Field(
        default_factory=dict,
        alias="set",
        description="Slots to fill on the way: a value, ${…} for a CEL expression, {slot} for a gap.",
    )
    raise_: EventName | None = Field(
        None, alias="raise", description="An event that the flow gives itself on the way."
    )
    on_error: Literal["any", "failed", "unknown", "cancelled"] | None = Field(
        None,
        description="Taken when the tool, the model or the subflow failed. unknown: a crash hid whether the "
        "tool was called. cancelled: the person gave the subflow up.",
    )
    event: EventName | None = Field(
        None,
        description="Taken when an event of this name, or of one that begins with it and a dot, arrives "
        'while the state waits; "*" is any.',
    )
    internal: bool = Field(
        False, description="With a state that holds others, to one of those: it is not left and entered anew."
    )


class CallSource(_Section):
    """A tool call."""

    tool: Annotated[str, Field(pattern=r"^\S{1,200}$")] = Field(description="As in tables.reserve.")
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="What the tool is given. ${…} is a CEL expression, which keeps its type; {slot} a gap.",
    )
    effect: Literal["none", "repeatable", "once"] = Field(
        "once",
        description="none: it only reads. repeatable: it may be made again after a crash. once: never twice.",
    )


class GenerateSource(_Section):
    """Words from the model."""

    instructions: Instructions = Field(description="What the model is told, besides the conversation so far.")
    model: str = Field("chat", description="A model's alias, or backend/model.")
    tools: list[str] = Field(default_factory=list, description="The tools that the model may use here.")


class ActionSource(_Section):
    """Something done when a state is entered or left: one of these."""

    set_: dict[Name, Any] | None = Field(
        None, alias="set", description="Slots to fill: a value, ${…} for a CEL expression, {slot} for a gap."
    )
    clear: list[Name] | None = Field(None, description="Slots to forget.")
    say: Text | None = Field(None, description="Words for the person.")
    raise_: EventName | None = Field(None, alias="raise", description="An event that the flow gives itself.")


Actions = Annotated[
    list[ActionSource],
    BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
]


class SubflowSource(_Section):
    """Another flow, called: this one goes on when that one is over."""

    flow: FlowName = Field(description="Its name; the newest version is called.")
    give: dict[Name, Any] = Field(
        default_factory=dict,
        description="What it knows from the start, by its slots: a value, ${…} for a CEL expression, {slot}.",
    )
    take: dict[Name, Name] = Field(
        default_factory=dict, description="What is learnt from it: a slot here, and its slot there."
    )


class NoMatchSource(_Section):
    """What happens when the person is not understood."""

    retries: Annotated[int, Field(ge=0, le=100)] = Field(description="How often to ask again.")
    to: StatePath = Field(description="Where to go after that.")
    say: Text | None = Field(None, description="Said before asking again, for the machine's own words.")


class TimeoutSource(_Section):
    """What happens when the person is silent."""

    after: Duration
    to: StatePath = Field(description="Where to go then.")
    say: Text | None = Field(None, description="Said on the way.")


class StateSource(_Section):
    """One state, of the kind that its key shows.

    collect, generate, call, subflow, handoff, say, end; states or parallel, which hold other states; history;
    or only next.
    """

    say: Text | None = Field(None, description="Said when the state is entered.")
    collect: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="Slots to ask for, in order."
    )
    generate: GenerateSource | None = Field(None, description="Lets the model answer.")
    call: CallSource | None = Field(None, description="Calls a tool; its answer is `result` afterwards.")
    handoff: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Hands the conversation to a person: the queue's name."
    )
    end: Literal[True] | None = Field(
        None, description="The flow ends here; within other states, the one that holds this one."
    )
    subflow: (
        Annotated[SubflowSource, BeforeValidator(_subflow, json_schema_input_type=SubflowSource | str)] | None
    ) = Field(None, description="Calls another flow; what it learnt is `result` afterwards.")
    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] | None = Field(
        None, description="The states within this one. `next` is taken when one of them ends it."
    )
    initial: StatePath | None = Field(
        None, description="With states: the one to begin in; the first one unless this says else."
    )
    parallel: Annotated[dict[StateName, RegionSource], Field(min_length=2)] | None = Field(
        None, description="Regions that go on side by side. `next` is taken when all of them have ended."
    )
    history: Literal["shallow", "deep"] | None = Field(
        None,
        description="Stands for the state that was left last of those beside it (shallow), or within them "
        "(deep); `next` is for the first time.",
    )
    entry: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Done when the state is entered, before it says anything.")
    exit: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Done when the state is left.")
    wait: bool = Field(False, description="With generate and next: hear the person before moving on.")
    next: Annotated[
        list[TransitionSource],
        BeforeValidator(_transitions, json_schema_input_type=list[TransitionSource] | str),
    ] = Field(default_factory=list, description="Where to go; the first that fits, in order.")
    no_match: NoMatchSource | None = Field(None, description="What to do when the person is not understood.")
    timeout: TimeoutSource | None = Field(None, description="What to do when the person is silent.")
    instructions: Instructions | None = Field(
        None, description="With collect: what the model is told that helps to understand the person here."
    )
    model: str | None = Field(
        None, description="With collect: that model, for the one of the flow's `understanding`."
    )
    tools: list[str] = Field(
        default_factory=list, description="With collect: tools that it may use to find out what is meant."
    )


class RegionSource(_Section):
    """One of several things that go on side by side."""

    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] = Field(
        description="Its states; one that ends ends the region."
    )
    initial: StatePath | None = Field(
        None, description="The one to begin in; the first unless this says else."
    )
    entry: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Done when the region is entered.")
    exit: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Done when the region is left.")


class InterruptsSource(_Section):
    """What the person may do in the middle of the flow."""

    allow: list[str] = Field(
        default_factory=lambda: ["cancel"], description="Flows that may be started, and cancel."
    )
    resume: Literal["reask", "silent"] = Field("reask", description="What to do when such a flow is over.")


class UnderstandingSource(_Section):
    """A model that helps to understand the person, in every state that collects."""

    model: str = Field("chat", description="A model's alias, or backend/model.")
    when: Literal["unclear", "always"] = Field(
        "unclear",
        description="unclear: asked where the rules can make no use of a message. always: of every message "
        "but set phrases such as cancel.",
    )


class FlowSource(_Section):
    """A flow: a conversation, as states and the ways between them."""

    flow: FlowName = Field(description="Its name.")
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(
        description="Grows with each change; conversations keep theirs."
    )
    description: Annotated[str, Field(max_length=1000), PerLocale()] = Field(
        "", description="What it is for, in a few words."
    )
    locale: str = Field("en", description="The language it speaks, where it is one.")
    locales: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="The languages that it speaks, the default first. Each text is then a mapping of them.",
        json_schema_extra={"items": {"enum": [*LOCALES]}},
    )
    triggers: Phrases = Field(
        default_factory=list, description="What a person says to start it, in other flows."
    )
    slots: Annotated[dict[Name, SlotSource], Field(max_length=MOST_SLOTS)] = Field(
        default_factory=dict, description="What the flow wants to know."
    )
    initial: StatePath | None = Field(
        None, description="The state it starts in; the first one unless this says else."
    )
    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] = Field(
        description="Where a conversation can stand."
    )
    interrupts: InterruptsSource = Field(
        default_factory=lambda: InterruptsSource(resume="reask"),
        description="What the person may do in the middle of the flow.",
    )
    understanding: UnderstandingSource | None = Field(
        None, description="A model that helps to understand the person; without one the rules do it alone."
    )
    help: Text | None = Field(None, description="Said when the person asks for help.")
    on_cancel: Text | None = Field(None, description="Said when the person cancels.")
    on_handoff: StatePath | None = Field(
        None, description="Where who wants a person goes; else the first handoff."
    )
