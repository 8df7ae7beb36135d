"""The snapshot of a conversation: everything that the machine remembers between two events, and nothing else.

A snapshot is immutable and can be converted to JSON and back without loss. Its dictionaries are never
modified in place; callers must not modify them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, field

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.partial_values import PartialValue, is_partial_value
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.language_registry import installed_languages

FORMAT = 2
"""The version of the stored format. Increase it when older snapshots can no longer be read."""

Status = Literal["active", "handed_off", "ended"]


class SnapshotInvalid(ValueError):
    """The stored JSON is not a snapshot of these flows. `explanation` says why."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class FlowLookup(Protocol):
    """Finds a flow, as FlowRegistry.get does."""

    def __call__(self, name: str, version: int | None = None, /) -> Flow:
        """The flow in a version; in the newest version for None. MUST raise FlowNotFound(name, version)."""


class StateRecord(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An active state of a flow: the only one, or the one of a region."""

    state: str
    """The path of an atomic state: one that contains no others."""
    asked: str = ""
    """The path of the slot, or part of a slot, that was asked for, until it is answered. At most one active
    state has one."""
    misses: int = 0
    """Consecutive messages that were not understood in this state."""
    waiting_for: str = ""
    """Empty if the state was not invoked yet; "user"; or the id of the call, generation or subflow it waits
    for."""
    timer: str = ""
    """The id of the timer that is set; empty if none."""
    resting: bool = False
    """True if the state has nothing left to do. If all active states rest, the next message restarts the
    flow."""
    spoke: bool = False
    """True once a model has replied in this state."""
    result: object = None
    """What the last tool or subflow before or in this state returned."""


class Frame(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One flow on the stack. The last one is running; those below wait until it ends."""

    flow: str
    version: int
    slots: Mapping[str, object]
    """Slots that have a value; JSON-serializable."""
    active_states: tuple[StateRecord, ...] = field(name="places")
    """The active states in document order; more than one within a parallel state."""
    visited: tuple[str, ...] = field(default=(), name="passed")
    """Collect states visited so far, each once, the latest last. A correction goes back to one of them."""
    commit_points: tuple[str, ...] = field(default=(), name="sealed")
    """Those of `visited` that lie before a call with effect `once`: no correction may go back to them."""
    history: Mapping[str, tuple[str, ...]] = field(default={}, name="left")
    """What history states stand for: composite state → the paths that were active in it when it was
    exited."""
    drafts: Mapping[str, PartialValue] = {}
    """Partial values of slots that have no value yet, by slot; see flow/slots/partial_values.py."""

    @property
    def state(self) -> str:
        """The path of the active state whose question is open; of the first one if there is no question."""
        for record in self.active_states:
            if record.asked:
                return record.state
        return self.active_states[0].state


class Snapshot(
    Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="format", tag=FORMAT
):
    """A whole conversation. Created by `begin`; only `step` creates its successors."""

    frames: tuple[Frame, ...]
    status: Status = "active"
    handoff_queue: str = ""
    """The queue, while handed off."""
    ids: int = 0
    """How many ids were issued so far; the next id is derived from it."""
    steps: int = 0
    """Microsteps since the last external input; bounds a flow that loops through its tools."""
    turn: Mapping[str, object] = {}
    """What guards see as `turn`: the number, date and time of the last message or event."""
    locale: str = ""
    """The person's language. A flow that does not support it uses its default, as all flows do if this is
    empty."""

    def to_json(self) -> dict[str, object]:
        """The snapshot as JSON-serializable data; fields that have their default value are left out."""
        stored: dict[str, object] = msgspec.to_builtins(self)
        return stored

    @staticmethod
    def from_json(stored: Mapping[str, object], flows: FlowLookup) -> Snapshot:
        """Restores and validates what `to_json` returned; it may be damaged, or written by another version.

        Raises:
            SnapshotInvalid: it is not a snapshot, or its flow has no such state or slot.
            FlowNotFound: one of its flows does not exist in that version.
        """
        if stored.get("format") != FORMAT:
            raise SnapshotInvalid(f"its format is {stored.get('format')!r}; only format {FORMAT} can be read")
        try:
            snapshot = msgspec.convert(stored, Snapshot)
        except msgspec.ValidationError as error:
            raise SnapshotInvalid(str(error)) from None
        if not snapshot.frames:
            raise SnapshotInvalid("it has no frames")
        if snapshot.locale and snapshot.locale not in installed_languages():
            raise SnapshotInvalid(f"its locale is {snapshot.locale!r}")
        for frame in snapshot.frames:
            _check(frame, flows(frame.flow, frame.version))
        return snapshot

    @property
    def waiting_for(self) -> str | None:
        """The id of the call or generation in progress, else "user". None before Started and after Ended."""
        waits = [record.waiting_for for record in self.frames[-1].active_states if record.waiting_for]
        for each in waits:
            if each != "user":
                return each
        return waits[0] if waits else None

    @property
    def timers(self) -> tuple[str, ...]:
        """The ids of the timers that are set."""
        return tuple([record.timer for record in self.frames[-1].active_states if record.timer])

    @property
    def flow(self) -> str:
        """The name of the running flow."""
        return self.frames[-1].flow

    @property
    def version(self) -> int:
        """The version of the running flow."""
        return self.frames[-1].version

    @property
    def state(self) -> str:
        """The state of the running flow whose question is open, else the first; a dotted path if nested."""
        return self.frames[-1].state

    @property
    def states(self) -> tuple[str, ...]:
        """All active states of the running flow: one, or one for each region."""
        return tuple([record.state for record in self.frames[-1].active_states])

    @property
    def slots(self) -> Mapping[str, object]:
        """The slots of the running flow that have a value; JSON-serializable."""
        return self.frames[-1].slots


def _check(frame: Frame, flow: Flow) -> None:
    if not frame.active_states:
        raise SnapshotInvalid("one of its frames has no active state")
    states = [*[record.state for record in frame.active_states], *frame.visited, *frame.commit_points]
    states += [name for parent, paths in frame.history.items() for name in (parent, *paths)]
    for name in states:
        if name not in flow.states:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no state {name!r}")
    for record in frame.active_states:
        if record.waiting_for and flow.states[record.state].kind in ("compound", "parallel", "history"):
            raise SnapshotInvalid(f"{record.state!r} cannot wait for anything: it is not an atomic state")
        if record.asked and record.asked not in flow.askable:
            raise SnapshotInvalid(f"{flow.name} {flow.version} cannot ask for {record.asked!r}")
    for slot in (*frame.slots, *frame.drafts):
        if slot not in flow.slots:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no slot {slot!r}")
    for composed in flow.composite_slots:
        _check_composed(composed, frame)


def _check_composed(slot: Slot, frame: Frame) -> None:
    """A composite value is taken apart when it is corrected, so it must be valid."""
    value, draft = frame.slots.get(slot.name), frame.drafts.get(slot.name, {})
    if (value is not None and not slot.accepts(value, None)) or not is_partial_value(slot, draft):
        raise SnapshotInvalid(f"the stored value of {slot.name!r} is not a valid {slot.type}")
