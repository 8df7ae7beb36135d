"""The conversation during a step: the machine's only mutable object, created from a snapshot for one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.flow.slots.partial_values import PartialValue
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import separating_parallel
from clawdbot_dialogue.core.machine.active_state import USER, ActiveState
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
from clawdbot_dialogue.core.understanding.language_detection import detect_language, is_own_script

MAX_STACK_DEPTH = 8
"""Flows on the stack."""


class StepContext:
    """A mutable copy of a snapshot, with the running frame unpacked into attributes."""

    def __init__(self, flows: FlowLookup, snapshot: Snapshot) -> None:
        self._lookup = flows
        self.locale = snapshot.locale
        self.effects: list[Effect] = []
        self.notes: list[Note] = []
        self.trace: list[TraceEvent] = []
        self.event: Mapping[str, object] = {}
        self.raised: list[str] = []
        """Internal events that the flow raised; processed when no eventless transition is enabled."""
        self.status: Status = snapshot.status
        self.handoff_queue = snapshot.handoff_queue
        self.steps = snapshot.steps
        self.turn = snapshot.turn
        self._now: datetime | None = None
        self.user_has_spoken = True
        """False only during the opening: there is no message yet that a model could reply to."""
        self._ids = snapshot.ids
        self._waiting_frames = list(snapshot.frames)
        self._scope: Scope | None = None
        """The last scope, until something that it shows changes."""
        self._scope_of: ActiveState | None = None
        """The active state whose scope that is."""
        self._unpack()

    def _unpack(self) -> None:
        frame = self._waiting_frames.pop()
        self.flow: Flow = self.find_flow(frame.flow, frame.version)
        states = self.flow.states
        try:
            self.active_states = [ActiveState(states[record.state], record) for record in frame.active_states]
        except KeyError as missing:
            raise SnapshotInvalid(f"{frame.flow} {frame.version} has no state {missing}") from None
        self.slots = frame.slots
        self.visited = frame.visited
        self.commit_points = frame.commit_points
        self.history = frame.history
        self.drafts = frame.drafts
        self._scope = None

    def _pack(self) -> Frame:
        return Frame(
            self.flow.name,
            self.flow.version,
            self.slots,
            tuple([active.to_record() for active in self.active_states]),
            self.visited,
            self.commit_points,
            self.history,
            self.drafts,
        )

    def snapshot(self) -> Snapshot:
        """The snapshot after the step."""
        return Snapshot(
            (*self._waiting_frames, self._pack()),
            self.status,
            self.handoff_queue,
            self._ids,
            self.steps,
            self.turn,
            self.locale,
        )

    # Language.

    def find_flow(self, name: str, version: int | None = None) -> Flow:
        """Finds a flow, in the conversation's language if the flow supports it."""
        return self._lookup(name, version).in_language(self.locale)

    def follow_language(self, text: str) -> None:
        """Switches to the language of a message that is clearly in another one."""
        if is_own_script(self.flow, text):
            return
        flow = self._lookup(self.flow.name, self.flow.version)
        asked = self.flow.askable.get(self.addressed.asked)
        locale = detect_language(flow, self.locale or flow.locale.name, text, asked)
        if locale != (self.locale or flow.locale.name):
            self.locale = locale
            self.flow = flow.in_language(locale)
            for active in self.active_states:
                active.state = self.flow.states[active.state.name]
            self._scope = None

    # Active states.

    @property
    def addressed(self) -> ActiveState:
        """The active state that a message is for.

        It is the one with the open question, else one that waits for the person, else the first.
        """
        first = self.active_states[0]
        if len(self.active_states) == 1:
            return first
        asked = [each for each in self.active_states if each.asked]
        waits = [each for each in self.active_states if each.waiting_for == USER and not each.resting]
        return [*asked, *waits, first][0]

    def find(self, fits: Callable[[ActiveState], bool]) -> ActiveState | None:
        """The first active state that fits; None if there is none."""
        for active in self.active_states:
            if fits(active):
                return active
        return None

    # Called at every step, mostly with one active state: loops, since generators have more overhead.

    @property
    def has_started(self) -> bool:
        """Whether the conversation has started."""
        if self.status != "active":
            return True
        for active in self.active_states:  # noqa: SIM110
            if active.waiting_for:
                return True
        return False

    @property
    def busy(self) -> str:
        """The id of the call, generation or subflow that the conversation waits for; empty if none."""
        for active in self.active_states:
            if active.busy:
                return active.waiting_for
        return ""

    @property
    def has_open_question(self) -> bool:
        """Whether any active state has an open question."""
        for active in self.active_states:  # noqa: SIM110
            if active.asked:
                return True
        return False

    @property
    def resting(self) -> bool:
        """Whether all active states rest, so that the next message restarts the flow."""
        for active in self.active_states:  # noqa: SIM110
            if not active.resting and active.state.kind != "end":
                return False
        return True

    def scope(self, active: ActiveState) -> Scope:
        """What an active state's guards and templates see at this moment."""
        if self._scope is None or self._scope_of is not active:
            values = {
                "slots": self.slots,
                "result": active.result,
                "event": self.event,
                "turn": self.turn,
            }
            self._scope = Scope(self.flow, active.state.name, values, self.notes, self.trace)
            self._scope_of = active
        return self._scope

    def render(self, template: Template, active: ActiveState) -> str:
        """The text of a template with its placeholders filled."""
        return template.literal or self.scope(active).render(template)

    @property
    def flow_stack(self) -> tuple[str, ...]:
        """The flows on the stack, the running one last."""
        return (*[frame.flow for frame in self._waiting_frames], self.flow.name)

    # Output.

    def note(self, code: str, message: str, state: State) -> None:
        """Adds a note for operators."""
        self.notes.append(Note(code, message, self.flow.name, state.name))

    def say(self, text: str) -> None:
        """Adds a reply, unless its text is empty."""
        if text:
            self.effects.append(Say(text))

    def fail(self, reason: str, message: str) -> None:
        """Reports an error inside the machine."""
        self.effects.append(Failed(reason, message))

    # What guards and templates see.

    def begin_turn(self, now: datetime, event: Mapping[str, object] | None = None) -> None:
        """Starts a turn for external input: guards see the event, and the count of microsteps is reset."""
        number = self.turn.get("number", 0)
        self.set_time(now, number + 1 if isinstance(number, int) else 1)
        self.set_event(event or {})

    def set_time(self, now: datetime, number: int | None = None) -> None:
        """Sets the time of `turn`, and its number if one is given; resets the count of microsteps."""
        timestamp = now.isoformat("T", "minutes")
        self.turn = {
            "number": self.turn.get("number", 0) if number is None else number,
            "date": timestamp[:10],
            "time": timestamp[11:16],
        }
        self._now = now
        self.steps = 0
        self._scope = None

    @property
    def now(self) -> datetime | None:
        """The local time of the last external input; None before the first."""
        if self._now is None and self.turn:
            self._now = datetime.fromisoformat(f"{self.turn['date']}T{self.turn['time']}")
        return self._now

    def set_event(self, event: Mapping[str, object]) -> None:
        """Sets the event that guards and templates see."""
        self.event = event
        self._scope = None

    def next_id(self, kind: str) -> str:
        """A new id, "call-1", the same on every replay."""
        self._ids += 1
        return f"{kind}-{self._ids}"

    def set_slot(self, name: str, value: object) -> None:
        """Sets a slot; None clears it."""
        self.set_draft(name, {})
        if self.slots.get(name) == value:
            return
        if value is None:
            self.slots = {each: old for each, old in self.slots.items() if each != name}
        else:
            self.slots = {**self.slots, name: value}
        self._scope = None
        self.effects.append(SlotChanged(name, value))

    def set_draft(self, name: str, draft: PartialValue) -> None:
        """Sets the partial value of a slot that has no value yet; an empty draft clears it."""
        if draft or name in self.drafts:
            rest = {each: old for each, old in self.drafts.items() if each != name}
            self.drafts = {**rest, name: draft} if draft else rest

    def set_result(self, active: ActiveState, result: object) -> None:
        """Sets the result of an active state."""
        active.result = result
        self._scope = None

    def add_commit_point(self, state: State) -> None:
        """Marks a state's call with effect `once`: corrections stop there, except those of other regions."""
        states = self.flow.states
        self.commit_points = tuple(
            [name for name in self.visited if not separating_parallel(states[name], state)]
        )

    # Waiting.

    def wait_for_user(self, active: ActiveState) -> None:
        """Makes an active state wait for the person, or for its timeout."""
        active.waiting_for = USER
        self.set_timer(active)

    def rest(self, active: ActiveState) -> None:
        """Makes an active state rest. If all rest, the next message restarts the flow with its slots."""
        active.resting = True
        active.asked = ""
        self.wait_for_user(active)

    def set_timer(self, active: ActiveState) -> None:
        """Sets the timer of an active state, if it has a timeout and no timer is set."""
        if active.state.timeout and not active.timer:
            active.timer = self.next_id("timer")
            self.effects.append(SetTimer(active.timer, active.state.timeout.after))

    def cancel_timer(self, active: ActiveState) -> None:
        """Cancels the timer of an active state, if one is set."""
        if active.timer:
            self.effects.append(CancelTimer(active.timer))
            active.timer = ""

    def cancel_timers(self) -> None:
        """Cancels all timers."""
        for active in self.active_states:
            self.cancel_timer(active)

    # Stack.

    def push(self, flow: Flow, slots: Mapping[str, object]) -> None:
        """Starts another flow on top of this one, which waits. Does not enter its initial state yet."""
        self.cancel_timers()
        self._drop_raised_events()
        self._waiting_frames.append(self._pack())
        self.flow = flow
        self.slots = slots
        self.active_states = []
        self.visited, self.commit_points, self.history, self.drafts = (), (), {}, {}
        self._scope = None

    def pop(self) -> Frame | None:
        """Ends the running flow. If another one waits below, resumes it and returns the frame that ended."""
        self._drop_raised_events()
        for active in self.active_states:
            active.asked, active.waiting_for = "", ""
        ended = self._pack()
        if not self._waiting_frames:
            self.status = "ended"
            self.effects.append(Ended())
            return None
        self._unpack()
        state = self.addressed.state.name
        self.trace.append(TransitionTaken(self.flow.name, "", state, "resumed"))
        self.effects.append(StateEntered(self.flow.name, state))
        return ended

    def _drop_raised_events(self) -> None:
        """Drops the flow's internal events, which no other flow may see."""
        while self.raised:
            message = f"{self.raised.pop(0)!r} was raised, but the flow does not continue"
            self.note("ignored-event", message, self.addressed.state)
