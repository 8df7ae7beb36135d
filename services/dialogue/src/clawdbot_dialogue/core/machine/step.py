"""The machine's two functions: begin a conversation, and take one event further.

Pure: the same flows, snapshot and event give the same step, on any machine at any time. Every event has a
defined result in every state; what does not belong there is ignored, with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clawdbot_dialogue.core.flow.model import Flow, Transition
from clawdbot_dialogue.core.machine.effects import Effect
from clawdbot_dialogue.core.machine.events import (
    Event,
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    Started,
    TimerFired,
    ToolReturned,
    UserSaid,
)
from clawdbot_dialogue.core.machine.hearing import hear
from clawdbot_dialogue.core.machine.notes import Note
from clawdbot_dialogue.core.machine.progress import Progress
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Frame, Snapshot
from clawdbot_dialogue.core.machine.states import MICRO_STEPS, failed, onward, run
from clawdbot_dialogue.core.machine.trace import Cause, Traced

__all__ = ["HANDOFF_RETURN", "MICRO_STEPS", "Note", "Step", "begin", "step"]

HANDOFF_RETURN = "handoff.return"
"""The event by which a person gives the conversation back."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an event led to."""

    snapshot: Snapshot
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...] = ()
    trace: tuple[Traced, ...] = ()
    """Why, for whoever asks."""


def begin(flow: Flow, slots: Mapping[str, object]) -> Snapshot:
    """A conversation about to start: give `step` the event Started next.

    Args:
        flow: The flow that the session is pinned to.
        slots: Values known beforehand, as `validate_slots` returns them.
    """
    return Snapshot((Frame(flow.name, flow.version, flow.initial, dict(slots)),))


def step(flows: FlowLookup, snapshot: Snapshot, event: Event, micro_steps: int = MICRO_STEPS) -> Step:
    """Takes one event further.

    Args:
        flows: Finds the flows on the stack in their versions, and those that may be started.
        snapshot: Where the conversation stands.
        event: What happened.
        micro_steps: States that may be gone through without anything coming from outside.

    Raises:
        FlowNotFound: a flow on the snapshot's stack is not there in its version any more.
        SnapshotInvalid: the flow no longer has the state that the snapshot is in.
    """
    progress = Progress(flows, snapshot)
    why_not = _handle(progress, event, micro_steps)
    if why_not:
        return Step(snapshot, (), (Note("ignored-event", why_not, snapshot.flow, snapshot.state),))
    return Step(progress.snapshot(), tuple(progress.effects), tuple(progress.notes), tuple(progress.trace))


def _handle(progress: Progress, event: Event, limit: int) -> str:
    """Acts on the event; or says why it is ignored, having changed nothing."""
    if progress.status == "ended":
        return "the conversation is over"
    if progress.waiting_for is None and progress.status == "active" and not isinstance(event, Started):
        return "the conversation has not started"
    return _HANDLERS[type(event)](progress, event, limit)


def _started(progress: Progress, _: Started, limit: int) -> str:
    if progress.waiting_for is not None or progress.status != "active":
        return "the conversation has started already"
    progress.heard = False
    progress.enter(progress.flow.initial, "started")
    run(progress, limit)
    return ""


def _user_said(progress: Progress, event: UserSaid, limit: int) -> str:
    if progress.status == "handed_off":
        return "a person answers"
    if progress.waiting_for != "user":
        progress.fail("STILL_WAITING", f"The answer to {progress.waiting_for} is still awaited.")
        return ""
    progress.begin_turn(event.now)
    hear(progress, event.text, event.now, limit)
    return ""


def _event_received(progress: Progress, event: EventReceived, limit: int) -> str:
    if progress.status == "active" and progress.waiting_for != "user":
        return f"the answer to {progress.waiting_for} is awaited"
    ways = progress.state.events.get(event.name, ())
    back = progress.status == "handed_off" and event.name == HANDOFF_RETURN
    if not ways and not back:
        return f"the state does not know the event {event.name!r}"
    before = progress.turn
    progress.begin_turn(event.now, {"name": event.name, "data": dict(event.data)})
    transition = progress.scope.first(ways)
    if transition is None and back:
        return _return(progress, limit)
    if transition is None:
        progress.turn = before
        return f"no guard for the event {event.name!r} holds"
    return _go(progress, transition, limit, "event")


def _return(progress: Progress, limit: int) -> str:
    """A person gives the conversation back: along `next`, else to a fresh start."""
    transition = progress.scope.first(progress.state.next)
    if transition is None:
        for name in tuple(progress.slots):
            progress.set_slot(name, None)
        progress.passed, progress.sealed = (), 0
        progress.enter(progress.flow.initial, "woken")
        run(progress, limit)
        return ""
    return _go(progress, transition, limit)


def _tool_returned(progress: Progress, event: ToolReturned, limit: int) -> str:
    if progress.waiting_for != event.call_id:
        return f"{event.call_id} is not awaited"
    progress.waiting_for = None
    progress.set_result(event.result)
    call = progress.state.call
    wrong = event.is_error or event.unknown
    if call and call.effect == "once" and (event.unknown or not wrong):
        progress.seal()
    if wrong:
        what = "may or may not have been called" if event.unknown else "failed"
        tool = call.tool if call else "The tool"
        kind: Any = "unknown" if event.unknown else "failed"
        return _go(progress, failed(progress, kind, "TOOL_FAILED", f"{tool} {what}."), limit)
    return _go(progress, onward(progress), limit)


def _generation_finished(progress: Progress, event: GenerationFinished, limit: int) -> str:
    if progress.waiting_for != event.generation_id:
        return f"{event.generation_id} is not awaited"
    progress.spoke = True
    transition = None if progress.state.wait else progress.scope.first(progress.state.next)
    if transition is None:
        progress.wait_for_user()
    return _go(progress, transition, limit)


def _generation_failed(progress: Progress, event: GenerationFailed, limit: int) -> str:
    if progress.waiting_for != event.generation_id:
        return f"{event.generation_id} is not awaited"
    message = f"{event.reason}: {event.message}"
    return _go(progress, failed(progress, "failed", "GENERATION_FAILED", message), limit)


def _timer_fired(progress: Progress, event: TimerFired, limit: int) -> str:
    timeout = progress.state.timeout
    if timeout is None or not progress.timer_fired(event.timer_id):
        return f"the timer {event.timer_id!r} is not set"
    progress.steps = 0
    progress.say(timeout.say)
    progress.enter(timeout.to, "timeout")
    run(progress, limit)
    return ""


def _go(progress: Progress, transition: Transition | None, limit: int, cause: Cause = "next") -> str:
    if transition is not None:
        progress.take(transition, cause)
        run(progress, limit)
    return ""


_HANDLERS: Mapping[type, Callable[[Progress, Any, int], str]] = {
    Started: _started,
    UserSaid: _user_said,
    EventReceived: _event_received,
    ToolReturned: _tool_returned,
    GenerationFinished: _generation_finished,
    GenerationFailed: _generation_failed,
    TimerFired: _timer_fired,
}
