"""Where a conversation stands: all that the machine remembers between two events, and nothing else.

A snapshot is immutable and becomes JSON and back without loss. Its dictionaries are never changed in place;
whoever holds one must not change them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, Protocol, get_args

from clawdbot_dialogue.core.flow.model import Flow

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


@dataclass(frozen=True, slots=True)
class Place:
    """A state that a flow is in: its only one, or that of one of several regions."""

    state: str
    """Its path; one that holds no others."""
    asked: str = ""
    """The slot that was asked for last, while its answer is awaited. One place at most has one."""
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


@dataclass(frozen=True, slots=True)
class Frame:
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
    left: Mapping[str, object] = field(default_factory=dict)
    """What history states stand for: a state that holds others, and the paths that were left in it."""

    @property
    def talking(self) -> Place:
        """The place whose question is open; the first where none is."""
        return next((place for place in self.places if place.asked), self.places[0])

    @property
    def state(self) -> str:
        """The path of the state that talks."""
        return self.talking.state


@dataclass(frozen=True, slots=True)
class Snapshot:
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
    turn: Mapping[str, object] = field(default_factory=dict)
    """What guards see as `turn`: number, date and time of the last message or event."""

    def to_json(self) -> dict[str, object]:
        """The snapshot as JSON, what stands at its default left out."""
        stored = _stored(self)
        stored["frames"] = [
            {**_stored(frame), "places": [_stored(place) for place in frame.places]} for frame in self.frames
        ]
        return {"format": FORMAT, **stored}

    @staticmethod
    def from_json(stored: Mapping[str, object], flows: FlowLookup) -> Snapshot:
        """What `to_json` made, checked: it was written by another version of the program, or is damaged.

        Raises:
            SnapshotInvalid: it is no snapshot, or its flow has no such state or slot.
            FlowNotFound: one of its flows is not there in its version.
        """
        if stored.get("format") != FORMAT:
            raise SnapshotInvalid(f"its format is {stored.get('format')!r}; {FORMAT} can be read")
        frames = stored.get("frames")
        if not isinstance(frames, list) or not frames:
            raise SnapshotInvalid("it has no frames")
        rest = {key: value for key, value in stored.items() if key not in ("format", "frames")}
        snapshot = Snapshot(tuple(_frame(each, flows) for each in frames), **_fields(Snapshot, rest))
        if snapshot.status not in get_args(Status):
            raise SnapshotInvalid(f"its status is {snapshot.status!r}")
        return snapshot

    @property
    def waiting_for(self) -> str | None:
        """The id of the call or generation under way, else "user"; None before Started and after the end."""
        waits = [place.waiting_for for place in self.frames[-1].places if place.waiting_for]
        return next((each for each in waits if each != "user"), waits[0] if waits else None)

    @property
    def timers(self) -> tuple[str, ...]:
        """The ids of the timers that are set."""
        return tuple(place.timer for place in self.frames[-1].places if place.timer)

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
        return tuple(place.state for place in self.frames[-1].places)

    @property
    def slots(self) -> Mapping[str, object]:
        """Its slots that have a value, JSON-able."""
        return self.frames[-1].slots


def _stored(record: Place | Frame | Snapshot) -> dict[str, object]:
    return {
        each.name: list(value) if isinstance(value, tuple) else value
        for each in fields(record)
        if (value := getattr(record, each.name)) != _default(each)
    }


def _default(each: Field[Any]) -> object:
    return each.default_factory() if each.default_factory is not MISSING else each.default


_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "Mapping[str, object]": (dict,),
    "tuple[str, ...]": (list,),
    "Status": (str,),
    "object": (object,),
}
"""What JSON a field's annotation allows."""


def _fields(kind: type[Place | Frame | Snapshot], stored: Mapping[str, object]) -> dict[str, Any]:
    known = {each.name: each for each in fields(kind)}
    for name, value in stored.items():
        if name not in known or not isinstance(value, _KINDS[str(known[name].type)]):
            raise SnapshotInvalid(f"its {name} cannot be {value!r:.80}")
    return {
        name: tuple(value) if isinstance(value, list) and name != "result" else value
        for name, value in stored.items()
    }


def _frame(stored: object, flows: FlowLookup) -> Frame:
    if not isinstance(stored, Mapping) or not {"flow", "version", "slots", "places"} <= stored.keys():
        raise SnapshotInvalid("one of its frames is not whole")
    places = stored["places"]
    if not isinstance(places, list) or not places:
        raise SnapshotInvalid("one of its frames is nowhere")
    rest = {key: value for key, value in stored.items() if key != "places"}
    frame = Frame(places=tuple(_place(each) for each in places), **_fields(Frame, rest))
    flow = flows(frame.flow, frame.version)
    _check_states(frame, flow)
    for slot in (*frame.slots, *(place.asked for place in frame.places if place.asked)):
        if slot not in flow.slots:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no slot {slot!r}")
    return frame


def _place(stored: object) -> Place:
    if not isinstance(stored, Mapping) or "state" not in stored:
        raise SnapshotInvalid("one of its places is not whole")
    return Place(**_fields(Place, stored))


def _check_states(frame: Frame, flow: Flow) -> None:
    for place in frame.places:
        _known(place.state, flow)
        if flow.states[place.state].kind in ("compound", "parallel", "history") and place.waiting_for:
            raise SnapshotInvalid(f"nobody waits in {place.state!r}, which holds other states")
    for holder, left in frame.left.items():
        for name in (holder, *(left if isinstance(left, list) else [left])):
            _known(name, flow)
    named: tuple[object, ...] = (*frame.passed, *frame.sealed)
    for each in named:
        _known(each, flow)


def _known(name: object, flow: Flow) -> None:
    if not isinstance(name, str) or name not in flow.states:
        raise SnapshotInvalid(f"{flow.name} {flow.version} has no state {name!r}")
