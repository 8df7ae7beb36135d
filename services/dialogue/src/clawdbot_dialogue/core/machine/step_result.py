"""What a step of the machine returns: the next snapshot, the effects, and the trace of how it got there.

Nothing reads the trace or the notes back: they are for people, and not part of the snapshot.
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
    """A transition's guard was evaluated; the first that passes is taken."""

    flow: str
    state: str
    target: str
    guard: str
    """The expression as written; empty where the transition has none."""
    passed: bool
    owner: str = ""
    """The state that declares the transition: `state` itself, or one of its ancestors."""
    number: int = 0
    """Position of the transition in the owner's `next`, from 0."""


class TransitionTaken(Struct, frozen=True):
    """The conversation went from one state to another."""

    flow: str
    source: str
    """The state that was left; empty where the flow begins."""
    target: str
    cause: Cause


TraceEvent: TypeAlias = GuardEvaluated | TransitionTaken


class Note(Struct, frozen=True):
    """A finding for the operator that changed nothing for the person.

    Codes: ignored-event, guard-failed, value-missing, not-set, not-interpreted.
    """

    code: str
    message: str
    flow: str
    state: str


class StepResult(Struct, frozen=True):
    """What an event led to."""

    snapshot: Snapshot
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...] = ()
    trace: tuple[TraceEvent, ...] = ()
