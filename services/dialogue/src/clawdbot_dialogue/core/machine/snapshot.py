"""Where a conversation stands: all that the machine remembers between two events, and nothing else.

A snapshot is immutable and becomes JSON and back without loss. Its dictionaries are never changed in place;
whoever holds one must not change them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, Protocol, get_args

from clawdbot_dialogue.core.flow.model import Flow

FORMAT = 1
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
class Frame:
    """One flow on the stack; the last is the one that talks, those below wait for it to end."""

    flow: str
    version: int
    state: str
    slots: Mapping[str, object]
    """Slots that have a value, JSON-able."""
    asked: str = ""
    """The slot that was asked for last, while its answer is awaited."""
    misses: int = 0
    """Messages in a row that were not understood in this state."""
    passed: tuple[str, ...] = ()
    """Collecting states on the way here, each once, the latest last: a correction goes back to one."""
    sealed: int = 0
    """How many of those lie before a call with effect `once`: no correction changes what is done."""
    resting: bool = False
    """True in a state that has nothing more to do: the next message starts over from the initial state."""
    spoke: bool = False
    """True once the model has answered in this state."""
    result: object = None
    """What the last tool of this flow returned."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole conversation. Made by `begin`, changed by `step` alone."""

    frames: tuple[Frame, ...]
    status: Status = "active"
    handoff_queue: str = ""
    """The queue, while handed off."""
    waiting_for: str | None = None
    """None before Started and after the end; "user"; or the id of the call or generation whose end is
    awaited."""
    timer: str = ""
    """The id of the timer that is set; empty for none."""
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
        stored["frames"] = [_stored(frame) for frame in self.frames]
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
    def flow(self) -> str:
        """The name of the flow that talks."""
        return self.frames[-1].flow

    @property
    def version(self) -> int:
        """Its version."""
        return self.frames[-1].version

    @property
    def state(self) -> str:
        """Its state, a dotted path where states nest."""
        return self.frames[-1].state

    @property
    def slots(self) -> Mapping[str, object]:
        """Its slots that have a value, JSON-able."""
        return self.frames[-1].slots


def _stored(record: Frame | Snapshot) -> dict[str, object]:
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
    "str | None": (str,),
    "Status": (str,),
    "object": (object,),
}
"""What JSON a field's annotation allows."""


def _fields(kind: type[Frame | Snapshot], stored: Mapping[str, object]) -> dict[str, Any]:
    known = {each.name: each for each in fields(kind)}
    for name, value in stored.items():
        if name not in known or not isinstance(value, _KINDS[str(known[name].type)]):
            raise SnapshotInvalid(f"its {name} cannot be {value!r:.80}")
    return {
        name: tuple(value) if isinstance(value, list) and name != "result" else value
        for name, value in stored.items()
    }


def _frame(stored: object, flows: FlowLookup) -> Frame:
    if not isinstance(stored, Mapping) or not {"flow", "version", "state", "slots"} <= stored.keys():
        raise SnapshotInvalid("one of its frames is not whole")
    frame = Frame(**_fields(Frame, stored))
    flow = flows(frame.flow, frame.version)
    if frame.state not in flow.states:
        raise SnapshotInvalid(f"{flow.name} {flow.version} has no state {frame.state!r}")
    passed: tuple[object, ...] = frame.passed
    for name in passed:
        if not isinstance(name, str) or name not in flow.states:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no state {name!r}")
    for slot in (*frame.slots, *([frame.asked] if frame.asked else [])):
        if slot not in flow.slots:
            raise SnapshotInvalid(f"{flow.name} {flow.version} has no slot {slot!r}")
    return frame
