"""The machine's two functions: begin a conversation, and take one event further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.machine.effects import Effect
from clawdbot_dialogue.core.machine.events import Event
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot


@dataclass(frozen=True, slots=True)
class Note:
    """Something that an operator may want to know and that changed nothing for the person.

    Codes: ignored-event, guard-failed, value-missing.
    """

    code: str
    message: str
    flow: str
    state: str


@dataclass(frozen=True, slots=True)
class Step:
    """What an event led to."""

    snapshot: Snapshot
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...] = ()


def begin(flow: Flow, slots: Mapping[str, object]) -> Snapshot:
    """A conversation about to start: give `step` the event Started next.

    Args:
        flow: The flow that the session is pinned to.
        slots: Values known beforehand, as `validate_slots` returns them.
    """
    raise NotImplementedError  # replaced within the hour by the machine


def step(flows: FlowLookup, snapshot: Snapshot, event: Event) -> Step:
    """Takes one event further: pure, never raises for any event, bounded in its micro-steps.

    Raises:
        FlowNotFound: a flow on the snapshot's stack is not there in its version any more.
        SnapshotInvalid: the flow no longer has the state that the snapshot is in.
    """
    raise NotImplementedError  # replaced within the hour by the machine
