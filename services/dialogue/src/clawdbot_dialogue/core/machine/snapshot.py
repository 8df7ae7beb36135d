"""Where a conversation stands: all that the machine remembers between two events, and nothing else.

A snapshot is immutable and becomes JSON and back without loss. Its dictionaries are never changed in place;
whoever holds one must not change them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.partial_values import Draft, is_draft
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.language_pack import LOCALES

FORMAT = 2
"""Grows when an older snapshot can no longer be read."""

Status = Literal["active", "handed_off", "ended"]


class SnapshotInvalid(ValueError):
    """What was stored is not a snapshot of these flows; `explanation` says why, in one sentence."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class FlowLookup(Protocol):
    """Finds flows; FlowLibrary.get is one."""

    def __call__(self, name: str, version: int | None = None, /) -> Flow:
        """The flow, the newest version for None. MUST raise FlowNotFound(name, version)."""


class Place(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A state that a flow is in: its only one, or that of one of several regions."""

    state: str
    """Its path; one that holds no others."""
    asked: str = ""
    """The slot, or the path of a part of one, that was asked for last, while its answer is awaited. One place
    at most has one."""
    misses: int = 0
    """Messages in a row that were not understood here."""
    waiting_for: str = ""
    """Empty: its work has not begun; "user"; or the id of the call, generation or subflow whose end is
    awaited."""
    timer: str = ""
    """The id of the timer that is set; empty for none."""
    resting: bool = False
    """True where nothing more is to be done: where all rest, the next message starts over."""
    spoke: bool = False
    """True once the model has answered here."""
    result: object = None
    """What the last tool or subflow on the way here returned."""


class Frame(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One flow on the stack; the last is the one that talks, those below wait for it to end."""

    flow: str
    version: int
    slots: Mapping[str, object]
    """Slots that have a value, JSON-able."""
    places: tuple[Place, ...]
    """Where it is, in document order; more than one within a parallel state."""
    passed: tuple[str, ...] = ()
    """Collecting states on the way here, each once, the latest last: a correction goes back to one."""
    sealed: tuple[str, ...] = ()
    """Those of them that lie before a call with effect `once`: no correction changes what is done."""
    left: Mapping[str, tuple[str, ...]] = {}
    """What history states stand for: a state that holds others, and the paths that were left in it."""
    drafts: Mapping[str, Draft] = {}
    """What is known of slots that have no value yet, by slot; flow/slots/drafts.py says how."""

    @property
    def talking(self) -> Place:
        """The place whose question is open; the first where none is."""
        for place in self.places:
            if place.asked:
                return place
        return self.places[0]

    @property
    def state(self) -> str:
        """The path of the state that talks."""
        return self.talking.state


class Snapshot(
    Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="format", tag=FORMAT
):
    """The whole conversation. Made by `begin`, changed by `step` alone."""

    frames: tuple[Frame, ...]
    status: Status = "active"
    handoff_queue: str = ""
    """The queue, while handed off."""
    ids: int = 0
    """How many ids were given out; the next is made from it."""
    steps: int = 0
    """Micro-steps since something last came from outside: bounds a flow that runs in circles through its
    tools."""
    turn: Mapping[str, object] = {}
    """What guards see as `turn`: number, date and time of the last message or event."""
    locale: str = ""
    """The language that the person speaks; a flow that does not uses its default. Empty: that too."""

    def to_json(self) -> dict[str, object]:
        """The snapshot as JSON, what stands at its default left out."""
        stored: dict[str, object] = msgspec.to_builtins(self)
        return stored

    @staticmethod
    def from_json(stored: Mapping[str, object], flows: FlowLookup) -> Snapshot:
        """What `to_json` made, checked: it was written by another version of the program, or is damaged.

        Raises:
            SnapshotInvalid: it is no snapshot, or its flow has no such state or slot.
            FlowNotFound: one of its flows is not there in its version.
        """
        if stored.get("format") != FORMAT:
            raise SnapshotInvalid(f"its format is {stored.get('format')!r}; {FORMAT} can be read")
        try:
            snapshot = msgspec.convert(stored, Snapshot)
        except msgspec.ValidationError as error:
            raise SnapshotInvalid(str(error)) from None
        if not snapshot.frames:
            raise SnapshotInvalid("it has no frames")
        if snapshot.locale and snapshot.locale not in LOCALES:
            raise SnapshotInvalid(f"its locale is {snapshot.locale!r}")
        for frame in snapshot.frames:
            _check(frame, flows(frame.flow, frame.version))
        return snapshot

    @property
    def waiting_for(self) -> str | None:
        """The id of the call or generation under way, else "user"; None before Started and after the end."""
        waits = [place.waiting_for for place in self.frames[-1].places if place.waiting_for]
        for each in waits:
            if each != "user":
                return each
        return waits[0] if waits else None

    @property
    def timers(self) -> tuple[str, ...]:
        """The ids of the timers that are set."""
        return tuple([place.timer for place in self.frames[-1].places if place.timer])

    @property
    def flow(self) -> str:
        """The name of the flow that talks."""
        return self.frames[-1].flow

    @property
    def version(self) -> int:
        """Its version."""
        return self.frames[-1].version

    @property
    def state(self) -> str:
        """The state of it that talks, a dotted path where states nest."""
        return self.frames[-1].state

    @property
    def states(self) -> tuple[str, ...]:
        """All states that it is in: one, or that of each region."""
        return tuple([place.state for place in self.frames[-1].places])

    @property
    def slots(self) -> Mapping[str, object]:
        """Its slots that have a value, JSON-able."""
        return self.frames[-1].slots


def _check(frame: Frame, flow: Flow) -> None:
    if not frame.places:
        raise SnapshotInvalid("one of its frames is nowhere")
    states = [*[place.state for place in frame.places], *frame.passed, *frame.sealed, *frame.left]
    states += [name for left in frame.left.values() for name in left]
    for name in states:
        if name not in flow.states:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no state {name!r}")
    for place in frame.places:
        if place.waiting_for and flow.states[place.state].kind in ("compound", "parallel", "history"):
            raise SnapshotInvalid(f"nobody waits in {place.state!r}, which holds other states")
        if place.asked and place.asked not in flow.askable:
            raise SnapshotInvalid(f"{flow.name} {flow.version} cannot ask for {place.asked!r}")
    for slot in (*frame.slots, *frame.drafts):
        if slot not in flow.slots:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no slot {slot!r}")
    for composed in flow.composed:
        _check_composed(composed, frame)


def _check_composed(slot: Slot, frame: Frame) -> None:
    """What is corrected is taken apart, so it has to be what it should be."""
    value, draft = frame.slots.get(slot.name), frame.drafts.get(slot.name, {})
    if (value is not None and not slot.takes(value, None)) or not is_draft(slot, draft):
        raise SnapshotInvalid(f"what is known of {slot.name!r} is no {slot.type}")
