"""A conversation in the middle of a step: the one mutable thing, alive from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clawdbot_dialogue.core.flow.model import Flow, State, Transition
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.machine.effects import (
    CancelTimer,
    Effect,
    Ended,
    Failed,
    Say,
    SetTimer,
    SlotChanged,
    StateEntered,
)
from clawdbot_dialogue.core.machine.notes import Note
from clawdbot_dialogue.core.machine.scope import Scope
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Frame, Snapshot, SnapshotInvalid, Status
from clawdbot_dialogue.core.machine.trace import Cause, Moved, Traced, Tried

DEEPEST_STACK = 8
"""Flows within flows."""


class Progress:
    """The working copy of a snapshot: the running frame unpacked into attributes."""

    def __init__(self, flows: FlowLookup, snapshot: Snapshot) -> None:
        self.flows = flows
        self.effects: list[Effect] = []
        self.notes: list[Note] = []
        self.trace: list[Traced] = []
        self.event: Mapping[str, object] = {}
        self.status: Status = snapshot.status
        self.handoff_queue = snapshot.handoff_queue
        self.waiting_for = snapshot.waiting_for
        self.steps = snapshot.steps
        self.turn = snapshot.turn
        self.heard = True
        """False only while the conversation opens: nobody has said anything that a model could answer."""
        self._timer = snapshot.timer
        self._ids = snapshot.ids
        self._below = list(snapshot.frames)
        self._scope: Scope | None = None
        self._unpack()

    def _unpack(self) -> None:
        frame = self._below.pop()
        self.flow: Flow = self.flows(frame.flow, frame.version)
        if frame.state not in self.flow.states:
            raise SnapshotInvalid(f"{frame.flow} {frame.version} has no state {frame.state!r}")
        self.state: State = self.flow.states[frame.state]
        self.slots = frame.slots
        self.asked = frame.asked
        self.misses = frame.misses
        self.passed = frame.passed
        self.resting = frame.resting
        self.spoke = frame.spoke
        self._result = frame.result
        self.sealed = frame.sealed
        self._scope = None

    def _pack(self) -> Frame:
        return Frame(
            self.flow.name,
            self.flow.version,
            self.state.name,
            self.slots,
            self.asked,
            self.misses,
            self.passed,
            self.sealed,
            self.resting,
            self.spoke,
            self._result,
        )

    def snapshot(self) -> Snapshot:
        """What the step leaves behind."""
        return Snapshot(
            (*self._below, self._pack()),
            self.status,
            self.handoff_queue,
            self.waiting_for,
            self._timer,
            self._ids,
            self.steps,
            self.turn,
        )

    @property
    def scope(self) -> Scope:
        """What guards and texts see now."""
        if self._scope is None:
            values = {"slots": self.slots, "result": self._result, "event": self.event, "turn": self.turn}
            self._scope = Scope(self.flow, values, self.note, self._tried)
        return self._scope

    @property
    def inside(self) -> tuple[str, ...]:
        """The flows on the stack, the running one last."""
        return (*(frame.flow for frame in self._below), self.flow.name)

    def note(self, code: str, message: str) -> None:
        """Leaves a note for operators."""
        self.notes.append(Note(code, message, self.flow.name, self.state.name))

    def _tried(self, transition: Transition, held: bool) -> None:
        guard = transition.guard.text if transition.guard else ""
        self.trace.append(Tried(self.flow.name, self.state.name, transition.to, guard, held))

    def begin_turn(self, now: datetime, event: Mapping[str, object] | None = None) -> None:
        """Something came from outside: guards see it, and the count of micro-steps starts anew."""
        number = self.turn.get("number", 0)
        self.turn = {
            "number": number + 1 if isinstance(number, int) else 1,
            "date": now.date().isoformat(),
            "time": now.time().isoformat("minutes"),
        }
        self.event = event or {}
        self.steps = 0
        self._scope = None

    def next_id(self, kind: str) -> str:
        """A new id, "call-1", the same on every replay."""
        self._ids += 1
        return f"{kind}-{self._ids}"

    def say(self, text: str | Template | None) -> None:
        """Says something, unless there is nothing to say."""
        words = self.scope.text(text) if isinstance(text, Template) else text
        if words:
            self.effects.append(Say(words))

    def fail(self, reason: str, message: str) -> None:
        """Declares a failure inside the machine."""
        self.effects.append(Failed(reason, message))

    def set_slot(self, name: str, value: object) -> None:
        """Gives a slot a value; None empties it."""
        if self.slots.get(name) == value:
            return
        if value is None:
            self.slots = {each: old for each, old in self.slots.items() if each != name}
        else:
            self.slots = {**self.slots, name: value}
        self._scope = None
        self.effects.append(SlotChanged(name, value))

    def set_result(self, result: object) -> None:
        """Keeps what a tool returned."""
        self._result = result
        self._scope = None

    def seal(self) -> None:
        """A call was made that is made once: no correction reaches back across it."""
        self.sealed = len(self.passed)

    def take(self, transition: Transition, cause: Cause = "next") -> None:
        """Goes along a transition: its words, its clearing, the state it leads to."""
        self.say(transition.say)
        for name in transition.clear:
            self.set_slot(name, None)
        self.enter(transition.to, "error" if transition.on_error else cause)

    def enter(self, name: str, cause: Cause) -> None:
        """Goes into a state and says what it says; what it does is the kinds' business."""
        source = "" if cause in ("started", "interrupted") else self.state.name
        self.trace.append(Moved(self.flow.name, source, name, cause))
        self.cancel_timer()
        if name in self.passed:
            position = self.passed.index(name)
            if position < self.sealed:
                self.sealed = 0  # the flow itself goes back: what was called settled nothing
            self.passed = self.passed[:position]
        self.state = self.flow.states[name]
        self.asked = ""
        self.misses = 0
        self.resting = False
        self.spoke = False
        self.waiting_for = None
        self.status = "active"
        self.handoff_queue = ""
        self.effects.append(StateEntered(self.flow.name, name))
        for slot in self.state.collect:
            # A confirmation is asked for anew: what was confirmed may have changed.
            if self.flow.slots[slot].asked_only:
                self.set_slot(slot, None)
        self.say(self.state.say)

    def wait_for_user(self) -> None:
        """Nothing more to do until the person speaks, or the state's time is over."""
        self.waiting_for = "user"
        self.set_timer()

    def rest(self) -> None:
        """Waits with nothing in hand: the next message starts over from the initial state, slots kept."""
        self.resting = True
        self.asked = ""
        self.wait_for_user()

    def set_timer(self) -> None:
        """Sets the state's timer, where it has one and it is not set."""
        if self.state.timeout and not self._timer:
            self._timer = self.next_id("timer")
            self.effects.append(SetTimer(self._timer, self.state.timeout.after))

    def cancel_timer(self) -> None:
        """Takes the timer back, where one is set."""
        if self._timer:
            self.effects.append(CancelTimer(self._timer))
            self._timer = ""

    def timer_fired(self, timer_id: str) -> bool:
        """Whether this is the timer that is set; it is not set any more then."""
        if not timer_id or timer_id != self._timer:
            return False
        self._timer = ""
        return True

    def push(self, flow: Flow) -> None:
        """Starts another flow; this one waits below. Its initial state is entered."""
        self.cancel_timer()
        self._below.append(self._pack())
        initial = flow.states[flow.initial]
        self.flow, self.state = flow, initial
        self.slots, self._result = {}, None
        self.passed, self.sealed = (), 0
        self._scope = None
        self.enter(flow.initial, "interrupted")

    def finish(self) -> bool:
        """Ends the running flow; True where another one waits below and goes on now."""
        self.cancel_timer()
        self.asked = ""
        if not self._below:
            self.status = "ended"
            self.waiting_for = None
            self.effects.append(Ended())
            return False
        self._unpack()
        self.trace.append(Moved(self.flow.name, "", self.state.name, "resumed"))
        self.effects.append(StateEntered(self.flow.name, self.state.name))
        return True
