"""The machine's outputs: the effects of a step, in order.

The driver carries them out one after the other. CallTool, Generate and Interpret are always the last effect
of a step: the machine then waits for the event that answers it and has the same id. Ids are unique within a
session and the same on every replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.llm_commands import CommandTool


class CommandsGenerated(Struct, frozen=True):
    """The commands generated from the message, refused ones included. At most one per step, always first."""

    commands: tuple[Command, ...]


class StateEntered(Struct, frozen=True):
    """The conversation entered this state, or came back to it after an interrupting flow or subflow ended."""

    flow: str
    state: str
    """The state's path; dotted if states are nested."""


class SlotChanged(Struct, frozen=True):
    """A slot of the running flow has a new value; None means that it was cleared."""

    slot: str
    value: object
    """JSON-serializable: dates as "2026-12-01", times as "19:30"."""


class Say(Struct, frozen=True):
    """A complete reply to the person; templates are already filled in."""

    text: str


class HandOff(Struct, frozen=True):
    """A human agent takes over. The snapshot's status is "handed_off" until the event "handoff.return"."""

    queue: str


class Ended(Struct, frozen=True):
    """The conversation has ended; later events are ignored."""


class SetTimer(Struct, frozen=True):
    """Send TimerFired with this id after so many seconds. A waiting state has at most one timer."""

    timer_id: str
    seconds: float


class CancelTimer(Struct, frozen=True):
    """The timer is no longer needed. A TimerFired that is sent nevertheless is ignored."""

    timer_id: str


class CallTool(Struct, frozen=True):
    """Call a tool and answer with ToolReturned."""

    call_id: str
    tool: str
    """ "plugin.tool"."""
    arguments: Mapping[str, object]
    """JSON-serializable."""
    effect: Literal["none", "repeatable", "once"]
    """none: the tool only reads; repeatable: the call may be repeated after a crash; once: it must not be."""


class Generate(Struct, frozen=True):
    """Let the model reply, and answer with GenerationFinished or GenerationFailed.

    The driver sends the transcript with the instructions as system message, streams the text to the person,
    and runs the model's calls of these tools.
    """

    generation_id: str
    model: str
    """A gateway alias or "backend/model"."""
    instructions: str
    tools: tuple[str, ...]


class PendingMessage(Struct, frozen=True):
    """A message that a model is interpreting; the event with the answer returns it."""

    text: str
    now: datetime
    restarted: bool
    """Whether it restarted a conversation at rest, so that no question preceded it."""


class Interpret(Struct, frozen=True):
    """Let a model interpret a message, and answer with Interpreted or InterpretationFailed.

    The driver sends the transcript, which ends with the message, and the instructions as system message, and
    requires tool calls: of `offers`, which are commands, or of `tools`, which it runs and whose results it
    returns to the model. It shows nothing to the person.
    """

    interpretation_id: str
    model: str
    """A gateway alias or "backend/model"."""
    instructions: str
    command_tools: tuple[CommandTool, ...]
    tools: tuple[str, ...]
    """Tools of the flow that the model may call to find out what is meant."""
    pending_message: PendingMessage


class Failed(Struct, frozen=True):
    """An error inside the machine. The session stays usable and waits for the person.

    Reasons: FLOW_LOOP (too many microsteps in a row), NO_TRANSITION (no guard in `next` passed), TOOL_FAILED
        (without
    a matching `on_error`), SUBFLOW_FAILED and GENERATION_FAILED (likewise), STILL_WAITING (a message arrived
    while a tool or the model was busy, and was ignored), ARGUMENT_FAILED (a call's argument could not be
    evaluated).
    """

    reason: str
    message: str
    """One sentence."""


Effect: TypeAlias = (
    CommandsGenerated
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
