"""Builds the explanation of a turn: commands generated, guards evaluated, transitions taken, model calls.

It is stored with the turn and only people read it, so its size is bounded; it says if something is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from clawdbot.dialogue.v1 import explanation_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Command as WireCommand
from clawdbot_servicekit.structs import fill_value

from clawdbot_dialogue.core.machine.effects import CommandsGenerated
from clawdbot_dialogue.core.machine.step_result import (
    GuardEvaluated,
    Note,
    StepResult,
    TraceEvent,
    TransitionTaken,
)
from clawdbot_dialogue.core.understanding.commands import Command

T = TypeVar("T")

MAX_STEPS: Final = 500
"""Steps that are kept of one turn."""
MAX_MODEL_CALL_BYTES: Final = 128 * 1024
"""Bytes that are kept of all model calls of one turn: instructions and replies can be long."""
MAX_SHORTENED_INSTRUCTIONS: Final = 500
"""Characters that are kept of a call's instructions once the calls exceed their limit."""


class ExplanationBuilder:
    """Adds up the explanation while the turn runs."""

    def __init__(self) -> None:
        self._explanation = pb.Explanation()
        self._bytes_left = MAX_MODEL_CALL_BYTES

    def add_step(self, result: StepResult) -> None:
        """Adds what the machine did in one step."""
        for effect in result.effects:
            if isinstance(effect, CommandsGenerated):
                self._add(effect, _fill_commands)
        for event in result.trace:
            self._add(event, _FILL[type(event)])
        for note in result.notes:
            self._add(note, _fill_note)

    def add_model_call(self, call: pb.ModelCall) -> None:
        """Adds a finished model call, shortened if the turn's calls exceed their limit."""
        self._bytes_left -= call.ByteSize()
        if self._bytes_left < 0:
            short = pb.ModelCall(purpose=call.purpose, model=call.model, message_count=call.message_count)
            short.error, short.instructions = call.error, call.instructions[:MAX_SHORTENED_INSTRUCTIONS]
            short.usage.CopyFrom(call.usage)
            short.elapsed.CopyFrom(call.elapsed)
            call, self._explanation.truncated = short, True
        self._add(call, _fill_model_call)

    def encoded(self) -> bytes:
        """Returns the Explanation, serialised; empty if nothing happened."""
        return self._explanation.SerializeToString()

    def _add(self, event: T, fill: Callable[[pb.ExplanationStep, T], None]) -> None:
        steps = self._explanation.steps
        if len(steps) < MAX_STEPS:
            fill(steps.add(), event)
        else:
            self._explanation.truncated = True


# A turn has many of these: filling one in place takes a third of the time of building and copying it.


def _fill_commands(step: pb.ExplanationStep, effect: CommandsGenerated) -> None:
    for command in effect.commands:
        fill_command(step.commands_generated.commands.add(), command)


def _fill_note(step: pb.ExplanationStep, note: Note) -> None:
    wire = step.note
    wire.code = note.code
    wire.message = note.message
    wire.flow = note.flow
    wire.state = note.state


def _fill_model_call(step: pb.ExplanationStep, call: pb.ModelCall) -> None:
    step.model_call.CopyFrom(call)


def _fill_guard(step: pb.ExplanationStep, event: GuardEvaluated) -> None:
    wire = step.guard_evaluated
    wire.flow = event.flow
    wire.source = event.state
    wire.target = event.target
    wire.guard = event.guard
    wire.passed = event.passed


def _fill_transition(step: pb.ExplanationStep, event: TransitionTaken) -> None:
    wire = step.transition_taken
    wire.flow = event.flow
    wire.source = event.source
    wire.target = event.target
    wire.cause = event.cause


_FILL: Mapping[type[TraceEvent], Callable[[pb.ExplanationStep, Any], None]] = {
    GuardEvaluated: _fill_guard,
    TransitionTaken: _fill_transition,
}


def fill_command(wire: WireCommand, command: Command) -> None:
    """Copies a command into its wire message."""
    wire.name = command.name
    wire.target = command.target
    wire.source = command.source
    wire.accepted = command.accepted
    wire.reason = command.reason
    if command.value is not None:
        fill_value(wire.value, command.value)
