"""The result of a step: the next snapshot, the effects, and the trace of how the step got there.

The trace and the notes are for people. The machine never reads them back, and they are not part of the
snapshot.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from clawdbot_dialogue.core.machine.effects import Effect
from clawdbot_dialogue.core.machine.snapshot import Snapshot

Cause = Literal[
    "started",
    "next",
    "error",
    "event",
    "timeout",
    "no_match",
    "corrected",
    "interrupted",
    "called",
    "resumed",
    "handed_off",
    "restarted",
]
"""Why a transition was taken: one of the state's own, or a rule that holds in every state."""


class GuardEvaluated(Struct, frozen=True):
    """A transition's guard was evaluated; the first transition whose guard passes is taken."""

    flow: str
    state: str
    target: str
    guard: str
    """The expression as written; empty if the transition has no guard."""
    passed: bool
    owner: str = ""
    """The state that declares the transition: `state` itself, or one of its ancestors."""
    number: int = 0
    """Position of the transition in the owner's `next`, from 0."""


class TransitionTaken(Struct, frozen=True):
    """A transition was taken from one state to another."""

    flow: str
    source: str
    """The state that was exited; empty at the start of the flow."""
    target: str
    cause: Cause


TraceEvent: TypeAlias = GuardEvaluated | TransitionTaken


class Note(Struct, frozen=True):
    """A diagnostic for operators; nothing changed for the person.

    Codes: ignored-event, guard-failed, value-missing, not-set, not-interpreted.
    """

    code: str
    message: str
    flow: str
    state: str


class StepResult(Struct, frozen=True):
    """The result of processing one event."""

    snapshot: Snapshot
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...] = ()
    trace: tuple[TraceEvent, ...] = ()
