"""The machine's two functions: begin a conversation, and take one event further.

Pure: the same flows, snapshot and event give the same step, on any machine at any time. Every event has a
defined result in every state; what does not belong there is ignored, with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clawdbot_dialogue.core.flow.model import Clear, ErrorKind, Flow, Transition
from clawdbot_dialogue.core.machine.active_state import USER, Spot
from clawdbot_dialogue.core.machine.command_processor import hear, heard
from clawdbot_dialogue.core.machine.events import (
    Event,
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    InterpretationFailed,
    Interpreted,
    Started,
    TimerFired,
    ToolReturned,
    UserSaid,
)
from clawdbot_dialogue.core.machine.interpreter import MICRO_STEPS, run, taking
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Frame, Place, Snapshot
from clawdbot_dialogue.core.machine.state_behaviors import failed, onward
from clawdbot_dialogue.core.machine.step_context import Progress
from clawdbot_dialogue.core.machine.step_result import Note, StepResult
from clawdbot_dialogue.core.machine.transitions import Way, restart, start, take, take_all, turn_aside

__all__ = ["HANDOFF_RETURN", "MICRO_STEPS", "Note", "StepResult", "begin", "step"]

HANDOFF_RETURN = "handoff.return"
"""The event by which a person gives the conversation back."""


def begin(flow: Flow, slots: Mapping[str, object], locale: str = "") -> Snapshot:
    """A conversation about to start: give `step` the event Started next.

    Args:
        flow: The flow that the session is pinned to.
        slots: Values known beforehand, as `validate_slots` returns them.
        locale: The person's language as a BCP 47 tag, "zh-CN"; the flow's default where it does not speak it.
    """
    frame = Frame(flow.name, flow.version, dict(slots), (Place(flow.initial),))
    return Snapshot((frame,), locale=flow.language(locale))


def step(flows: FlowLookup, snapshot: Snapshot, event: Event, micro_steps: int = MICRO_STEPS) -> StepResult:
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
        ignored = Note("ignored-event", why_not, snapshot.flow, snapshot.state)
        return StepResult(snapshot, (), (*progress.notes, ignored), tuple(progress.trace))
    return StepResult(
        progress.snapshot(), tuple(progress.effects), tuple(progress.notes), tuple(progress.trace)
    )


def _handle(progress: Progress, event: Event, limit: int) -> str:
    """Acts on the event; or says why it is ignored, having changed nothing."""
    if progress.status == "ended":
        return "the conversation is over"
    if not isinstance(event, Started) and not progress.begun:
        return "the conversation has not started"
    return _HANDLERS[type(event)](progress, event, limit)


def _started(progress: Progress, _: Started, limit: int) -> str:
    if progress.begun:
        return "the conversation has started already"
    progress.heard = False
    start(progress, "started")
    run(progress, limit)
    return ""


def _user_said(progress: Progress, event: UserSaid, limit: int) -> str:
    if progress.status == "handed_off":
        return "a person answers"
    if busy := progress.busy:
        progress.fail("STILL_WAITING", f"The answer to {busy} is still awaited.")
        return ""
    progress.begin_turn(event.now)
    hear(progress, event.text, event.now, limit)
    return ""


def _event_received(progress: Progress, event: EventReceived, limit: int) -> str:
    if busy := progress.busy:
        return f"the answer to {busy} is awaited"
    back = progress.status == "handed_off" and event.name == HANDOFF_RETURN
    before = progress.turn
    progress.begin_turn(event.now, {"name": event.name, "data": dict(event.data)})
    if ways := taking(progress, event.name):
        take_all(progress, ways)
    elif back:
        _return(progress)
    else:
        progress.turn = before
        return f"no state takes the event {event.name!r}"
    run(progress, limit)
    return ""


def _return(progress: Progress) -> None:
    """A person gives the conversation back: along `next`, else to a fresh start."""
    spot = progress.spot_where(lambda spot: spot.state.kind == "handoff")
    transition = progress.scope.first(progress.state.next)
    if spot and transition:
        take(progress, Way(spot, transition))
        return
    restart(progress, tuple(Clear(slot) for slot in progress.flow.slots))
    progress.passed, progress.sealed, progress.left = (), (), {}


def _tool_returned(progress: Progress, event: ToolReturned, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.waiting_for == event.call_id and spot.busy)
    if spot is None:
        return f"{event.call_id} is not awaited"
    spot.waiting_for = ""
    progress.set_result(event.result)
    call = spot.state.call
    wrong = event.is_error or event.unknown
    if call and call.effect == "once" and (event.unknown or not wrong):
        progress.seal()
    if wrong:
        what = "may or may not have been called" if event.unknown else "failed"
        tool = call.tool if call else "The tool"
        kind: ErrorKind = "unknown" if event.unknown else "failed"
        transition = failed(progress, kind, "TOOL_FAILED", f"{tool} {what}.")
    else:
        transition = onward(progress)
    return _go_on(progress, spot, transition, limit)


def _generation_finished(progress: Progress, event: GenerationFinished, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.waiting_for == event.generation_id and spot.busy)
    if spot is None:
        return f"{event.generation_id} is not awaited"
    spot.spoke = True
    transition = None if spot.state.wait else progress.scope.first(spot.state.next)
    if transition is None:
        progress.wait_for_user()
    return _go_on(progress, spot, transition, limit)


def _generation_failed(progress: Progress, event: GenerationFailed, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.waiting_for == event.generation_id and spot.busy)
    if spot is None:
        return f"{event.generation_id} is not awaited"
    message = f"{event.reason}: {event.message}"
    return _go_on(progress, spot, failed(progress, "failed", "GENERATION_FAILED", message), limit)


def _interpreted(progress: Progress, event: Interpreted, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.waiting_for == event.interpretation_id and spot.busy)
    if spot is None:
        return f"{event.interpretation_id} is not awaited"
    spot.waiting_for = USER
    heard(progress, event.heard, event.proposals, limit)
    return ""


def _interpretation_failed(progress: Progress, event: InterpretationFailed, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.waiting_for == event.interpretation_id and spot.busy)
    if spot is None:
        return f"{event.interpretation_id} is not awaited"
    spot.waiting_for = USER
    progress.note("not-interpreted", f"{event.reason}: {event.message}")
    heard(progress, event.heard, (), limit)
    return ""


def _timer_fired(progress: Progress, event: TimerFired, limit: int) -> str:
    spot = progress.spot_where(lambda spot: spot.timer != "" and spot.timer == event.timer_id)
    timeout = spot.state.timeout if spot else None
    if spot is None or timeout is None:
        return f"the timer {event.timer_id!r} is not set"
    spot.timer = ""
    progress.tell_time(event.now)
    turn_aside(progress, timeout, "timeout")
    run(progress, limit)
    return ""


def _go_on(progress: Progress, spot: Spot, transition: Transition | None, limit: int) -> str:
    """Takes what follows, and lets the other regions, which waited for this one, go on."""
    if transition is not None:
        take(progress, Way(spot, transition))
    run(progress, limit)
    return ""


_HANDLERS: Mapping[type, Callable[[Progress, Any, int], str]] = {
    Started: _started,
    UserSaid: _user_said,
    EventReceived: _event_received,
    ToolReturned: _tool_returned,
    GenerationFinished: _generation_finished,
    GenerationFailed: _generation_failed,
    Interpreted: _interpreted,
    InterpretationFailed: _interpretation_failed,
    TimerFired: _timer_fired,
}
