"""A conversation in the middle of a step: the one mutable thing, alive from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.flow.slots.partial_values import Draft
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import apart
from clawdbot_dialogue.core.machine.active_state import USER, Spot
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
from clawdbot_dialogue.core.machine.scope import Scope
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Frame, Snapshot, SnapshotInvalid, Status
from clawdbot_dialogue.core.machine.step_result import Note, TraceEvent, TransitionTaken
from clawdbot_dialogue.core.understanding.language_detection import heard_in, plain

DEEPEST_STACK = 8
"""Flows within flows."""


class Progress:
    """The working copy of a snapshot: the running frame unpacked into attributes."""

    def __init__(self, flows: FlowLookup, snapshot: Snapshot) -> None:
        self._flows = flows
        self.locale = snapshot.locale
        self.effects: list[Effect] = []
        self.notes: list[Note] = []
        self.trace: list[TraceEvent] = []
        self.event: Mapping[str, object] = {}
        self.raised: list[str] = []
        """Events that the flow gave itself; taken once no transition can be taken without."""
        self.status: Status = snapshot.status
        self.handoff_queue = snapshot.handoff_queue
        self.steps = snapshot.steps
        self.turn = snapshot.turn
        self._now: datetime | None = None
        self.heard = True
        """False only while the conversation opens: nobody has said anything that a model could answer."""
        self._ids = snapshot.ids
        self._below = list(snapshot.frames)
        self._scope: Scope | None = None
        self.here: Spot
        """The spot that it is about just now; `attend` turns to another."""
        self._unpack()

    def _unpack(self) -> None:
        frame = self._below.pop()
        self.flow: Flow = self.flows(frame.flow, frame.version)
        states = self.flow.states
        try:
            self.spots = [Spot(states[place.state], place) for place in frame.places]
        except KeyError as missing:
            raise SnapshotInvalid(f"{frame.flow} {frame.version} has no state {missing}") from None
        self.slots = frame.slots
        self.passed = frame.passed
        self.sealed = frame.sealed
        self.left = frame.left
        self.drafts = frame.drafts
        self.here = self.spots[0]
        self.attend()

    def _pack(self) -> Frame:
        return Frame(
            self.flow.name,
            self.flow.version,
            self.slots,
            tuple([spot.place() for spot in self.spots]),
            self.passed,
            self.sealed,
            self.left,
            self.drafts,
        )

    def snapshot(self) -> Snapshot:
        """What the step leaves behind."""
        return Snapshot(
            (*self._below, self._pack()),
            self.status,
            self.handoff_queue,
            self._ids,
            self.steps,
            self.turn,
            self.locale,
        )

    # Which language it is in.

    def flows(self, name: str, version: int | None = None) -> Flow:
        """Finds a flow, in the conversation's language where it speaks it."""
        return self._flows(name, version).spoken(self.locale)

    def follow(self, text: str) -> None:
        """Goes on in the language of a message that is clearly in another."""
        if plain(self.flow, text):
            return
        flow = self._flows(self.flow.name, self.flow.version)
        asked = self.flow.askable.get(self.here.asked)
        locale = heard_in(flow, self.locale or flow.locale.name, text, asked)
        if locale != (self.locale or flow.locale.name):
            self.locale = locale
            self.flow = flow.spoken(locale)
            for spot in self.spots:
                spot.state = self.flow.states[spot.state.name]
            self._scope = None

    # Which place it is about.

    def attend(self, spot: Spot | None = None) -> None:
        """Turns to a spot: guards and texts see its result. Without one, to the one that talks."""
        if spot is self.here:
            return
        if spot is None:
            spot = self.spots[0]
            if len(self.spots) > 1:
                asked = [each for each in self.spots if each.asked]
                waits = [each for each in self.spots if each.waiting_for == USER and not each.resting]
                spot = [*asked, *waits, spot][0]
        self.here = spot
        self._scope = None

    @property
    def state(self) -> State:
        """The state of the spot that it is about."""
        return self.here.state

    # These are asked at every step, mostly of one spot: loops, since a generator takes longer than its work.

    @property
    def begun(self) -> bool:
        """Whether the conversation has started."""
        if self.status != "active":
            return True
        for spot in self.spots:  # noqa: SIM110
            if spot.waiting_for:
                return True
        return False

    @property
    def busy(self) -> str:
        """The id of the call, generation or subflow whose end is awaited; empty for none."""
        for spot in self.spots:
            if spot.busy:
                return spot.waiting_for
        return ""

    @property
    def asking(self) -> bool:
        """Whether a question is open anywhere."""
        for spot in self.spots:  # noqa: SIM110
            if spot.asked:
                return True
        return False

    @property
    def resting(self) -> bool:
        """Whether nothing is left to do anywhere: the next message starts over."""
        for spot in self.spots:  # noqa: SIM110
            if not spot.resting and spot.state.kind != "end":
                return False
        return True

    @property
    def scope(self) -> Scope:
        """What guards and texts see now."""
        if self._scope is None:
            values = {"slots": self.slots, "result": self.here.result, "event": self.event, "turn": self.turn}
            self._scope = Scope(self.flow, self.here.state.name, values, self.notes, self.trace)
        return self._scope

    def text(self, template: Template) -> str:
        """A text with its gaps filled."""
        return template.plain or self.scope.text(template)

    @property
    def inside(self) -> tuple[str, ...]:
        """The flows on the stack, the running one last."""
        return (*[frame.flow for frame in self._below], self.flow.name)

    # What is told.

    def note(self, code: str, message: str) -> None:
        """Leaves a note for operators."""
        self.notes.append(Note(code, message, self.flow.name, self.state.name))

    def say(self, text: str | Template | None) -> None:
        """Says something, unless there is nothing to say."""
        words = self.text(text) if isinstance(text, Template) else text
        if words:
            self.effects.append(Say(words))

    def fail(self, reason: str, message: str) -> None:
        """Declares a failure inside the machine."""
        self.effects.append(Failed(reason, message))

    # What guards and texts see.

    def begin_turn(self, now: datetime, event: Mapping[str, object] | None = None) -> None:
        """Something came from outside: guards see it, and the count of micro-steps starts anew."""
        number = self.turn.get("number", 0)
        self.tell_time(now, number + 1 if isinstance(number, int) else 1)
        self.see(event or {})

    def tell_time(self, now: datetime, number: int | None = None) -> None:
        """Something happened now; it counts as a turn where it has a number."""
        written = now.isoformat("T", "minutes")
        self.turn = {
            "number": self.turn.get("number", 0) if number is None else number,
            "date": written[:10],
            "time": written[11:16],
        }
        self._now = now
        self.steps = 0
        self._scope = None

    @property
    def now(self) -> datetime | None:
        """When something last came from outside, as clocks show it; None before that."""
        if self._now is None and self.turn:
            self._now = datetime.fromisoformat(f"{self.turn['date']}T{self.turn['time']}")
        return self._now

    def see(self, event: Mapping[str, object]) -> None:
        """Guards and texts see an event."""
        self.event = event
        self._scope = None

    def next_id(self, kind: str) -> str:
        """A new id, "call-1", the same on every replay."""
        self._ids += 1
        return f"{kind}-{self._ids}"

    def set_slot(self, name: str, value: object) -> None:
        """Gives a slot a value; None empties it."""
        self.set_draft(name, {})
        if self.slots.get(name) == value:
            return
        if value is None:
            self.slots = {each: old for each, old in self.slots.items() if each != name}
        else:
            self.slots = {**self.slots, name: value}
        self._scope = None
        self.effects.append(SlotChanged(name, value))

    def set_draft(self, name: str, draft: Draft) -> None:
        """Keeps what is known of a slot that has no value yet; forgets it where that is nothing."""
        if draft or name in self.drafts:
            rest = {each: old for each, old in self.drafts.items() if each != name}
            self.drafts = {**rest, name: draft} if draft else rest

    def set_result(self, result: object) -> None:
        """Keeps what a tool returned."""
        self.here.result = result
        self._scope = None

    def seal(self) -> None:
        """A call was made that is made once: no correction reaches back across it, but in other regions."""
        states = self.flow.states
        self.sealed = tuple([name for name in self.passed if not apart(states[name], self.state)])

    # Waiting.

    def wait_for_user(self) -> None:
        """Nothing more to do here until the person speaks, or the state's time is over."""
        self.here.waiting_for = USER
        self.set_timer()

    def rest(self) -> None:
        """Nothing more to do here at all: where all rest, the next message starts over, slots kept."""
        self.here.resting = True
        self.here.asked = ""
        self.wait_for_user()

    def set_timer(self) -> None:
        """Sets the state's timer, where it has one and it is not set."""
        here = self.here
        if here.state.timeout and not here.timer:
            here.timer = self.next_id("timer")
            self.effects.append(SetTimer(here.timer, here.state.timeout.after))

    def cancel_timer(self, spot: Spot) -> None:
        """Takes a spot's timer back, where one is set."""
        if spot.timer:
            self.effects.append(CancelTimer(spot.timer))
            spot.timer = ""

    def cancel_timers(self) -> None:
        """Takes all timers back."""
        for spot in self.spots:
            self.cancel_timer(spot)

    def spot_where(self, fits: Callable[[Spot], bool]) -> Spot | None:
        """The first spot that fits; turns to it."""
        for spot in self.spots:
            if fits(spot):
                self.attend(spot)
                return spot
        return None

    # The stack.

    def push(self, flow: Flow, slots: Mapping[str, object]) -> None:
        """Another flow begins; this one waits below. Its initial state is not entered yet."""
        self.cancel_timers()
        self._drop_raised()
        self._below.append(self._pack())
        self.flow = flow
        self.slots = slots
        self.spots = []
        self.passed, self.sealed, self.left, self.drafts = (), (), {}, {}
        self._scope = None

    def finish(self) -> Frame | None:
        """Ends the running flow; returns what it was where another one waits below and goes on now."""
        self._drop_raised()
        for spot in self.spots:
            spot.asked, spot.waiting_for = "", ""
        over = self._pack()
        if not self._below:
            self.status = "ended"
            self.effects.append(Ended())
            return None
        self._unpack()
        self.trace.append(TransitionTaken(self.flow.name, "", self.state.name, "resumed"))
        self.effects.append(StateEntered(self.flow.name, self.state.name))
        return over

    def _drop_raised(self) -> None:
        """What a flow raises is for that flow alone."""
        while self.raised:
            self.note("ignored-event", f"{self.raised.pop(0)!r} was raised, and the flow goes no further")
