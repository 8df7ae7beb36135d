"""What the machine wants done, in order: its outputs.

The driver carries them out one after the other. CallTool, Generate and Interpret are always the last of a
step: the machine then waits for the event that answers it, with the same id. Ids are unique
within a session and the same on every replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.llm_commands import Offer


class Understood(Struct, frozen=True):
    """What the message was taken to mean, refused commands included. At most one a step, always first."""

    commands: tuple[Command, ...]


class StateEntered(Struct, frozen=True):
    """The conversation is now in this state; also told when a digression is over and its caller goes on."""

    flow: str
    state: str
    """Dotted path where states nest."""


class SlotChanged(Struct, frozen=True):
    """A slot of the flow that is running has a new value; None: it was cleared."""

    slot: str
    value: object
    """JSON-able: dates as "2026-12-01", times as "19:30"."""


class Say(Struct, frozen=True):
    """A reply for the person, whole: templates are already filled in."""

    text: str


class HandOff(Struct, frozen=True):
    """A person takes over. The snapshot's status is "handed_off" until the event "handoff.return"."""

    queue: str


class Ended(Struct, frozen=True):
    """The conversation is over; every later event is ignored."""


class SetTimer(Struct, frozen=True):
    """Give TimerFired with its id when so many seconds have passed. A state that waits has one at most."""

    timer_id: str
    seconds: float


class CancelTimer(Struct, frozen=True):
    """The timer is no longer wanted; firing it all the same is harmless."""

    timer_id: str


class CallTool(Struct, frozen=True):
    """Call a tool and answer with ToolReturned."""

    call_id: str
    tool: str
    """ "plugin.tool"."""
    arguments: Mapping[str, object]
    """JSON-able."""
    effect: Literal["none", "repeatable", "once"]
    """none: reads only; repeatable: may be made again after a crash; once: never."""


class Generate(Struct, frozen=True):
    """Let the model answer what was said, and give GenerationFinished or GenerationFailed.

    The driver sends its transcript with the instructions as the system's word, shows the text as it comes,
    and runs the model's tool calls, which may name these tools only.
    """

    generation_id: str
    model: str
    """A gateway alias or "backend/model"."""
    instructions: str
    tools: tuple[str, ...]


class Heard(Struct, frozen=True):
    """A message that waits for a model to say what it means; comes back with the answer."""

    text: str
    now: datetime
    woke: bool
    """Whether it woke a conversation that rested: then nothing was asked before it."""


class Interpret(Struct, frozen=True):
    """Let a model say what a message means, and give Interpreted or InterpretationFailed.

    The driver sends its transcript, the message last, with the instructions as the system's word, and demands
    calls: of the offers, which are commands, or of the tools, which it runs and tells the model of. It shows
    the person nothing.
    """

    interpretation_id: str
    model: str
    """A gateway alias or "backend/model"."""
    instructions: str
    offers: tuple[Offer, ...]
    tools: tuple[str, ...]
    """Tools that it may call to find out what is meant."""
    heard: Heard


class Failed(Struct, frozen=True):
    """A declared failure inside the machine. The session stays usable and waits for the person.

    Reasons: FLOW_LOOP (more micro-steps in a row than allowed), NO_TRANSITION (no `next` held), TOOL_FAILED
    (and no `on_error` took it), SUBFLOW_FAILED and GENERATION_FAILED (likewise), STILL_WAITING (a message
    came while a tool or the model was at work; it was not looked at), ARGUMENT_FAILED (a call's argument
    could not be computed).
    """

    reason: str
    message: str
    """One sentence."""


Effect: TypeAlias = (
    Understood
    | StateEntered
    | SlotChanged
    | Say
    | HandOff
    | Ended
    | SetTimer
    | CancelTimer
    | CallTool
    | Generate
    | Interpret
    | Failed
)
