"""The story of a turn, for whoever asks why: what was understood, tried, gone and asked, in order.

Kept with the turn and read back by nobody but people, so it is bounded: what is beyond is left out, and said
to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from clawdbot.dialogue.v1.explanation_pb2 import (
    Explained,
    Explanation,
    ModelAsked,
    Remark,
)
from clawdbot.dialogue.v1.turn_pb2 import Command
from clawdbot_servicekit.structs import fill_value

from clawdbot_dialogue.core.machine.effects import Understood
from clawdbot_dialogue.core.machine.outcome import Step
from clawdbot_dialogue.core.machine.trace import Moved, Traced, Tried
from clawdbot_dialogue.core.understanding.commands import Command as Understanding

MOST: Final = 500
"""Things of one turn that are kept."""
MOST_BYTES: Final = 128 * 1024
"""Of all requests to models in one turn: instructions of an author's, and answers, may be long."""

SHORTENED: Final = 500
"""Characters of instructions that are kept where there is no room for more."""


class Story:
    """Grows with the turn."""

    def __init__(self) -> None:
        self._told = Explanation()
        self._room = MOST_BYTES

    def step(self, taken: Step) -> None:
        """The machine took a step."""
        steps = self._told.steps
        for effect in taken.effects:
            if isinstance(effect, Understood):
                told = Explained()
                for each in effect.commands:
                    fill_command(told.understood.commands.add(), each)
                self._add(told)
        for traced in taken.trace:
            if len(steps) < MOST:
                _TRACED[type(traced)](steps.add(), traced)
            else:
                self._told.truncated = True
        for note in taken.notes:
            remark = Remark(code=note.code, message=note.message, flow=note.flow, state=note.state)
            self._add(Explained(remark=remark))

    def asked(self, asked: ModelAsked) -> None:
        """A model was asked, and answered or failed."""
        self._room -= asked.ByteSize()
        if self._room < 0:
            short = ModelAsked(purpose=asked.purpose, model=asked.model, messages=asked.messages)
            short.failure, short.instructions = asked.failure, asked.instructions[:SHORTENED]
            short.usage.CopyFrom(asked.usage)
            short.elapsed.CopyFrom(asked.elapsed)
            asked, self._told.truncated = short, True
        self._add(Explained(asked=asked))

    def encoded(self) -> bytes:
        """The Explanation, serialised; empty where nothing happened."""
        return self._told.SerializeToString()

    def _add(self, told: Explained) -> None:
        if len(self._told.steps) < MOST:
            self._told.steps.append(told)
        else:
            self._told.truncated = True


# Several for each turn: filled in place, which takes a third of what building and copying does.


def _tried(told: Explained, each: Tried) -> None:
    tried = told.tried
    tried.flow = each.flow
    tried.state = each.state
    tried.to = each.to
    tried.guard = each.guard
    tried.held = each.held


def _moved(told: Explained, each: Moved) -> None:
    moved = told.moved
    moved.flow = each.flow
    moved.source = each.source
    moved.to = each.to
    moved.cause = each.cause


_TRACED: Mapping[type[Traced], Callable[[Explained, Any], None]] = {Tried: _tried, Moved: _moved}


def fill_command(told: Command, each: Understanding) -> None:
    """A command as the wire has it."""
    told.name = each.name
    told.target = each.target
    told.source = each.source
    told.accepted = each.accepted
    told.reason = each.reason
    if each.value is not None:
        fill_value(told.value, each.value)
