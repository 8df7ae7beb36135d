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
        self.focus: ActiveState
        """The active state that is currently processed; `focus_on` changes it."""
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
        self.focus = self.active_states[0]
        self.focus_on()

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
        asked = self.flow.askable.get(self.focus.asked)
        locale = detect_language(flow, self.locale or flow.locale.name, text, asked)
        if locale != (self.locale or flow.locale.name):
            self.locale = locale
            self.flow = flow.in_language(locale)
            for active in self.active_states:
                active.state = self.flow.states[active.state.name]
            self._scope = None

    # Focus.

    def focus_on(self, active: ActiveState | None = None) -> None:
        """Focuses on an active state, so that guards and templates see its result.

        Without an argument, focuses on the state with the open question, else on one that waits for the
        person.
        """
        if active is self.focus:
            return
        if active is None:
            active = self.active_states[0]
            if len(self.active_states) > 1:
                asked = [each for each in self.active_states if each.asked]
                waits = [each for each in self.active_states if each.waiting_for == USER and not each.resting]
                active = [*asked, *waits, active][0]
        self.focus = active
        self._scope = None

    @property
    def state(self) -> State:
        """The focused state."""
        return self.focus.state

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

    @property
    def scope(self) -> Scope:
        """The scope of guards and templates at this moment."""
        if self._scope is None:
            values = {
                "slots": self.slots,
                "result": self.focus.result,
                "event": self.event,
                "turn": self.turn,
            }
            self._scope = Scope(self.flow, self.focus.state.name, values, self.notes, self.trace)
        return self._scope

    def render(self, template: Template) -> str:
        """The text of a template with its placeholders filled."""
        return template.literal or self.scope.render(template)

    @property
    def flow_stack(self) -> tuple[str, ...]:
        """The flows on the stack, the running one last."""
        return (*[frame.flow for frame in self._waiting_frames], self.flow.name)

    # Output.

    def note(self, code: str, message: str) -> None:
        """Adds a note for operators."""
        self.notes.append(Note(code, message, self.flow.name, self.state.name))

    def say(self, text: str | Template | None) -> None:
        """Adds a reply, unless its text is empty."""
        rendered = self.render(text) if isinstance(text, Template) else text
        if rendered:
            self.effects.append(Say(rendered))

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

    def set_result(self, result: object) -> None:
        """Sets the result of the focused state."""
        self.focus.result = result
        self._scope = None

    def add_commit_point(self) -> None:
        """Marks a call with effect `once`: no correction goes back before it, except in other regions."""
        states = self.flow.states
        self.commit_points = tuple(
            [name for name in self.visited if not separating_parallel(states[name], self.state)]
        )

    # Waiting.

    def wait_for_user(self) -> None:
        """Makes the focused state wait for the person, or for its timeout."""
        self.focus.waiting_for = USER
        self.set_timer()

    def rest(self) -> None:
        """Makes the focused state rest. If all rest, the next message restarts the flow with its slots."""
        self.focus.resting = True
        self.focus.asked = ""
        self.wait_for_user()

    def set_timer(self) -> None:
        """Sets the timer of the focused state, if it has a timeout and no timer is set."""
        focus = self.focus
        if focus.state.timeout and not focus.timer:
            focus.timer = self.next_id("timer")
            self.effects.append(SetTimer(focus.timer, focus.state.timeout.after))

    def cancel_timer(self, active: ActiveState) -> None:
        """Cancels the timer of an active state, if one is set."""
        if active.timer:
            self.effects.append(CancelTimer(active.timer))
            active.timer = ""

    def cancel_timers(self) -> None:
        """Cancels all timers."""
        for active in self.active_states:
            self.cancel_timer(active)

    def focus_where(self, fits: Callable[[ActiveState], bool]) -> ActiveState | None:
        """Focuses on the first active state that fits, and returns it; None if there is none."""
        for active in self.active_states:
            if fits(active):
                self.focus_on(active)
                return active
        return None

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
        self.trace.append(TransitionTaken(self.flow.name, "", self.state.name, "resumed"))
        self.effects.append(StateEntered(self.flow.name, self.state.name))
        return ended

    def _drop_raised_events(self) -> None:
        """Drops the flow's internal events, which no other flow may see."""
        while self.raised:
            self.note("ignored-event", f"{self.raised.pop(0)!r} was raised, but the flow does not continue")
