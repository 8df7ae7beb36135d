"""The source model of a flow file: its keys, their types, and what each is for.

The published JSON Schema is generated from these models, so the descriptions are for people who write flows
in an editor. References between keys (a transition to a state that does not exist) are checked elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clawdbot_dialogue.core.flow.parse.localized import Localized
from clawdbot_dialogue.core.flow.parse.text_forms import (
    Currency,
    Duration,
    EventName,
    FlowName,
    Name,
    Region,
    StateName,
    StatePath,
    ToolName,
)
from clawdbot_dialogue.core.language.language_registry import installed_languages

Text = Annotated[str, Field(min_length=1, max_length=10_000), Localized()]
"""Text for the person. {slot} inserts a slot's value, {result.key} what a tool returned."""
Instructions = Annotated[str, Field(min_length=1, max_length=10_000), Localized(required=False)]
"""Text for a model, which reads any language."""
Phrases = Annotated[list[Annotated[str, Field(min_length=1, max_length=10_000)]], Localized()]
"""Phrases that a person says."""
Guard = Annotated[str, Field(min_length=1, max_length=1000)]
MAX_SLOTS, MAX_FIELDS = 500, 100
"""Slots of a flow, fields of a slot; the protobuf message that checks expressions holds a few thousand."""


def _values(given: Any) -> Any:
    """Turns a list of values into a mapping of values without synonyms."""
    return {each: [] for each in given} if isinstance(given, list) and all(map(_is_text, given)) else given


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _actions(given: Any) -> Any:
    """Turns a single action into a list of one."""
    return [given] if isinstance(given, dict) else given


def _subflow(given: Any) -> Any:
    """Turns a flow's name into a subflow without inputs and outputs."""
    return {"flow": given} if isinstance(given, str) else given


def _transitions(given: Any) -> Any:
    """Turns a state's name into a list of one transition."""
    return [{"to": given}] if isinstance(given, str) else given


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SlotSource(_Section):
    """A value that the flow collects."""

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
    ] = Field(description="The type of its value.")
    called: Text | None = Field(None, description="Its name in sentences; by default made from its key.")
    ask: Text | None = Field(None, description="The question that asks the person for it.")
    fill: Literal["any", "asked_only"] = Field(
        "any",
        description="any: filled from any message. asked_only: filled only by the answer to its question, "
        "and asked again whenever its state is entered, as a confirmation is.",
    )
    min: int | float | str | None = Field(
        None,
        description='The smallest allowed value; for a date also "today", "today+1d"; for a datetime '
        '"now+2h"; for a duration "30m".',
    )
    max: int | float | str | None = Field(
        None,
        description='The largest allowed value; for a date also "today+90d"; for a datetime "now+14d"; for a '
        'duration "2h".',
    )
    min_length: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="The smallest number of characters."
    )
    max_length: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="The largest number of characters."
    )
    pattern: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="A regular expression (RE2) that must match the whole text."
    )
    values: Annotated[
        dict[str, Phrases],
        BeforeValidator(_values, json_schema_input_type=dict[str, Phrases] | list[str]),
    ] = Field(default_factory=dict, description="For an enum: its values, each with its synonyms.")
    hints: Phrases = Field(
        default_factory=list, description="Words beside a number that point to this slot: people, guests."
    )
    currencies: list[Currency] = Field(
        default_factory=list,
        description="For money: the allowed ISO 4217 codes; the first one is the default.",
    )
    region: Region | None = Field(
        None, description="For a phone: the country whose numbers need no country code, such as GB."
    )
    fields: Annotated[dict[Name, SlotSource], Field(max_length=MAX_FIELDS)] = Field(
        default_factory=dict,
        description="For an object: its fields, declared like slots and asked for one after the other.",
    )
    required: bool | None = Field(
        None,
        description="For a field: false if it is optional. An optional field is never asked for.",
    )
    items: SlotSource | None = Field(None, description="For a list: its items, declared like a slot.")
    more: Text | None = Field(
        None,
        description="For a list: asked after each answer, until the person says no. Without it, the first "
        "answer with enough items is the list.",
    )
    min_items: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="For a list: the smallest number of items; 1 by default."
    )
    max_items: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="For a list: the largest number of items; 100 by default."
    )


class TransitionSource(_Section):
    """A transition out of a state."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["to"]}, {"required": ["event"]}]},
    )

    to: StatePath | None = Field(
        None,
        description="The state to go to. With `event` it is optional; without it the state stays active.",
    )
    if_: Guard | None = Field(
        None, alias="if", description="A CEL expression; the transition is taken only if it is true."
    )
    say: Text | None = Field(None, description="Said when it is taken.")
    clear: list[Name] = Field(default_factory=list, description="Slots to clear.")
    set_: dict[Name, Any] = Field(
        default_factory=dict,
        alias="set",
        description="Slots to set: to a value, a CEL expression in ${…}, or a text with {slot} in it.",
    )
    raise_: EventName | None = Field(None, alias="raise", description="An event to raise in the flow itself.")
    on_error: Literal["any", "failed", "unknown", "cancelled"] | None = Field(
        None,
        description="Taken when the tool, the model or the subflow failed. unknown: after a crash it is not "
        "known whether the tool was called. cancelled: the person cancelled the subflow.",
    )
    event: EventName | None = Field(
        None,
        description="Taken when this event arrives while the state waits. A name also matches longer names "
        'that continue with a dot; "*" matches any event.',
    )
    internal: bool = Field(
        False,
        description="In a state with child states, to one of them: the state itself is not re-entered.",
    )


class CallSource(_Section):
    """A tool call."""

    tool: ToolName = Field(description="The tool: tables.reserve.")
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="Its arguments: values, texts with {slot}, or CEL expressions in ${…}, which keep their "
        "type.",
    )
    effect: Literal["none", "repeatable", "once"] = Field(
        "once",
        description="none: only reads. repeatable: may be called again after a crash. once: never twice.",
    )


class GenerateSource(_Section):
    """Text from the model."""

    instructions: Instructions = Field(
        description="Instructions for the model, in addition to the conversation so far."
    )
    model: str = Field("chat", description="A model alias, or backend/model.")
    tools: list[str] = Field(default_factory=list, description="The tools that the model may use here.")


class ActionSource(_Section):
    """An action on entering or exiting a state: exactly one of these keys."""

    set_: dict[Name, Any] | None = Field(
        None,
        alias="set",
        description="Slots to set: to a value, a CEL expression in ${…}, or a text with {slot} in it.",
    )
    clear: list[Name] | None = Field(None, description="Slots to clear.")
    say: Text | None = Field(None, description="Text for the person.")
    raise_: EventName | None = Field(None, alias="raise", description="An event to raise in the flow itself.")


Actions = Annotated[
    list[ActionSource],
    BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
]


class SubflowSource(_Section):
    """A call of another flow; this one continues when that one ends."""

    flow: FlowName = Field(description="The name of the flow; its newest version is called.")
    give: dict[Name, Any] = Field(
        default_factory=dict,
        description="Inputs: slots of the called flow, each with a value, a CEL expression in ${…}, or text.",
    )
    take: dict[Name, Name] = Field(
        default_factory=dict,
        description="Outputs: slots of this flow, each with the slot of the called flow to take it from.",
    )


class NoMatchSource(_Section):
    """What to do when a message is not understood."""

    retries: Annotated[int, Field(ge=0, le=100)] = Field(description="How many times to ask again.")
    to: StatePath = Field(description="The state to go to after that.")
    say: Text | None = Field(None, description="Said before asking again, instead of the default sentence.")


class TimeoutSource(_Section):
    """What to do when the person is silent."""

    after: Duration
    to: StatePath = Field(description="The state to go to then.")
    say: Text | None = Field(None, description="Said before going there.")


class StateSource(_Section):
    """One state, of the kind that its key determines.

    collect, generate, call, subflow, handoff, say, end; states or parallel, which have child states; history;
    or only next.
    """

    say: Text | None = Field(None, description="Said when the state is entered.")
    collect: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="The slots to ask for, in order."
    )
    generate: GenerateSource | None = Field(None, description="Lets the model answer.")
    call: CallSource | None = Field(None, description="Calls a tool; its result is `result` afterwards.")
    handoff: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Hands the conversation over to a human: the name of the queue."
    )
    end: Literal[True] | None = Field(
        None, description="Ends the flow; inside another state, ends that state."
    )
    subflow: (
        Annotated[SubflowSource, BeforeValidator(_subflow, json_schema_input_type=SubflowSource | str)] | None
    ) = Field(None, description="Calls another flow; its outcome is `result` afterwards.")
    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] | None = Field(
        None, description="Its child states. `next` is taken when one of them ends it."
    )
    initial: StatePath | None = Field(
        None, description="With states: the child to start in; by default the first one."
    )
    parallel: Annotated[dict[StateName, RegionSource], Field(min_length=2)] | None = Field(
        None, description="Regions that run in parallel. `next` is taken when all of them have ended."
    )
    history: Literal["shallow", "deep"] | None = Field(
        None,
        description="Restores the last active sibling (shallow), or the last active states inside the parent "
        "(deep); `next` is taken the first time.",
    )
    entry: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Run when the state is entered, before it says anything.")
    exit: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Run when the state is exited.")
    wait: bool = Field(False, description="With generate and next: wait for a message before moving on.")
    next: Annotated[
        list[TransitionSource],
        BeforeValidator(_transitions, json_schema_input_type=list[TransitionSource] | str),
    ] = Field(default_factory=list, description="The transitions; the first one that applies is taken.")
    no_match: NoMatchSource | None = Field(None, description="What to do when a message is not understood.")
    timeout: TimeoutSource | None = Field(None, description="What to do when the person is silent.")
    instructions: Instructions | None = Field(
        None, description="With collect: instructions for the model that interprets messages here."
    )
    model: str | None = Field(
        None, description="With collect: that model, instead of the one in the flow's `understanding`."
    )
    tools: list[str] = Field(
        default_factory=list, description="With collect: tools that it may use to find out what is meant."
    )


class RegionSource(_Section):
    """A region of a parallel state."""

    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] = Field(
        description="Its states; one with `end: true` ends the region."
    )
    initial: StatePath | None = Field(None, description="The state to start in; by default the first one.")
    entry: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Run when the region is entered.")
    exit: Annotated[
        list[ActionSource],
        BeforeValidator(_actions, json_schema_input_type=list[ActionSource] | ActionSource),
    ] = Field(default_factory=list, description="Run when the region is exited.")


class InterruptsSource(_Section):
    """What the person may do in the middle of the flow."""

    allow: list[str] = Field(
        default_factory=lambda: ["cancel"], description="Flows that may interrupt this one, and cancel."
    )
    resume: Literal["reask", "silent"] = Field("reask", description="What to do when such a flow has ended.")


class UnderstandingSource(_Section):
    """A model that interprets messages, in every state with collect."""

    model: str = Field("chat", description="A model alias, or backend/model.")
    when: Literal["unclear", "always"] = Field(
        "unclear",
        description="unclear: asked when the rules do not understand a message. always: asked about every "
        "message except set phrases such as cancel.",
    )


class FlowSource(_Section):
    """A flow: a conversation as a state machine."""

    flow: FlowName = Field(description="The name of the flow.")
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(
        description="Increase it with each change; running sessions keep their version."
    )
    description: Annotated[str, Field(max_length=1000), Localized()] = Field(
        "", description="What the flow is for, in a few words."
    )
    locale: str = Field("en", description="The language of a flow that has only one.")
    locales: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="The languages of the flow, the default first. Each text is then a mapping by language.",
        json_schema_extra=lambda schema: schema.update(items={"enum": [*installed_languages()]}),
    )
    triggers: Phrases = Field(
        default_factory=list, description="Phrases that start this flow from another one."
    )
    slots: Annotated[dict[Name, SlotSource], Field(max_length=MAX_SLOTS)] = Field(
        default_factory=dict, description="The values that the flow collects."
    )
    initial: StatePath | None = Field(None, description="The state to start in; by default the first one.")
    states: Annotated[dict[StateName, StateSource], Field(min_length=1)] = Field(
        description="The states of the flow."
    )
    interrupts: InterruptsSource = Field(
        default_factory=lambda: InterruptsSource(resume="reask"),
        description="What the person may do in the middle of the flow.",
    )
    understanding: UnderstandingSource | None = Field(
        None, description="A model that interprets messages; without one, only the rules do."
    )
    help: Text | None = Field(None, description="Said when the person asks for help.")
    on_cancel: Text | None = Field(None, description="Said when the person cancels.")
    on_handoff: StatePath | None = Field(
        None,
        description="The state to go to when the person asks for a human; by default the first handoff.",
    )
