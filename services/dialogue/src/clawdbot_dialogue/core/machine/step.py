"""The machine's two functions: `begin` a conversation, and `step` it with one event.

They are pure: the same flows, snapshot and event always give the same result. Every event has a defined
result in every state; an event that does not apply is ignored, with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clawdbot_dialogue.core.flow.model import Clear, ErrorKind, Flow, Transition
from clawdbot_dialogue.core.machine.active_state import USER, ActiveState
from clawdbot_dialogue.core.machine.command_processor import process_interpretation, process_message
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
from clawdbot_dialogue.core.machine.interpreter import MAX_MICROSTEPS, enabled_transitions, run
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Frame, Snapshot, StateRecord
from clawdbot_dialogue.core.machine.state_behaviors import handle_error, next_transition
from clawdbot_dialogue.core.machine.step_context import StepContext
from clawdbot_dialogue.core.machine.step_result import Note, StepResult
from clawdbot_dialogue.core.machine.transitions import (
    EnabledTransition,
    enter_initial_state,
    restart,
    take,
    take_all,
    take_fallback,
)

__all__ = ["HANDOFF_RETURN", "MAX_MICROSTEPS", "Note", "StepResult", "begin", "step"]

HANDOFF_RETURN = "handoff.return"
"""The event by which a human agent gives the conversation back."""


def begin(flow: Flow, slots: Mapping[str, object], locale: str = "") -> Snapshot:
    """The snapshot of a new conversation. Call `step` with the event Started next.

    Args:
        flow: The flow that the session is pinned to.
        slots: Values known in advance, as `validate_slots` returns them.
        locale: The person's language as a BCP 47 tag (example: zh-CN). If the flow does not support it, its
            default is used.
    """
    frame = Frame(flow.name, flow.version, dict(slots), (StateRecord(flow.initial),))
    return Snapshot((frame,), locale=flow.resolve_language(locale))


def step(
    flows: FlowLookup, snapshot: Snapshot, event: Event, max_microsteps: int = MAX_MICROSTEPS
) -> StepResult:
    """Processes one event.

    Args:
        flows: Finds the flows on the stack in their versions, and those that may be started.
        snapshot: The conversation before the event.
        event: The event.
        max_microsteps: The maximum of microsteps without external input.

    Raises:
        FlowNotFound: a flow on the snapshot's stack no longer exists in its version.
        SnapshotInvalid: the flow no longer has a state that is active in the snapshot.
    """
    context = StepContext(flows, snapshot)
    reason = _handle(context, event, max_microsteps)
    if reason:
        ignored = Note("ignored-event", reason, snapshot.flow, snapshot.state)
        return StepResult(snapshot, (), (*context.notes, ignored), tuple(context.trace))
    return StepResult(context.snapshot(), tuple(context.effects), tuple(context.notes), tuple(context.trace))


def _handle(context: StepContext, event: Event, limit: int) -> str:
    """Processes the event; or returns why it is ignored, without having changed anything."""
    if context.status == "ended":
        return "the conversation has ended"
    if not isinstance(event, Started) and not context.has_started:
        return "the conversation has not started"
    return _HANDLERS[type(event)](context, event, limit)


def _started(context: StepContext, _: Started, limit: int) -> str:
    if context.has_started:
        return "the conversation has already started"
    context.user_has_spoken = False
    enter_initial_state(context, "started")
    run(context, limit)
    return ""


def _user_said(context: StepContext, event: UserSaid, limit: int) -> str:
    if context.status == "handed_off":
        return "a human agent has taken over"
    if busy := context.busy:
        context.fail("STILL_WAITING", f"The conversation is still waiting for {busy}.")
        return ""
    context.begin_turn(event.now)
    process_message(context, event.text, event.now, limit)
    return ""


def _event_received(context: StepContext, event: EventReceived, limit: int) -> str:
    if busy := context.busy:
        return f"the conversation is waiting for {busy}"
    returned = context.status == "handed_off" and event.name == HANDOFF_RETURN
    before = context.turn
    context.begin_turn(event.now, {"name": event.name, "data": dict(event.data)})
    if enabled := enabled_transitions(context, event.name):
        take_all(context, enabled)
    elif returned:
        _resume_from_handoff(context)
    else:
        context.turn = before
        return f"no active state has a transition for the event {event.name!r}"
    run(context, limit)
    return ""


def _resume_from_handoff(context: StepContext) -> None:
    """A human agent gives the conversation back: takes a transition of `next`, or restarts without slots."""
    active = context.find(lambda active: active.state.kind == "handoff")
    transition = context.scope(active).first_enabled(active.state.next) if active else None
    if active and transition:
        take(context, EnabledTransition(active, transition))
        return
    restart(context, active or context.addressed, tuple(Clear(slot) for slot in context.flow.slots))
    context.visited, context.commit_points, context.history = (), (), {}


def _tool_returned(context: StepContext, event: ToolReturned, limit: int) -> str:
    active = context.find(lambda active: active.waiting_for == event.call_id and active.busy)
    if active is None:
        return f"the conversation is not waiting for {event.call_id}"
    active.waiting_for = ""
    context.set_result(active, event.result)
    call = active.state.call
    failed = event.is_error or event.unknown
    if call and call.effect == "once" and (event.unknown or not failed):
        context.add_commit_point(active.state)
    if failed:
        what = "may or may not have been executed" if event.unknown else "failed"
        tool = call.tool if call else "The tool"
        kind: ErrorKind = "unknown" if event.unknown else "failed"
        transition = handle_error(context, active, kind, "TOOL_FAILED", f"{tool} {what}.")
    else:
        transition = next_transition(context, active)
    return _continue(context, active, transition, limit)


def _generation_finished(context: StepContext, event: GenerationFinished, limit: int) -> str:
    active = context.find(lambda active: active.waiting_for == event.generation_id and active.busy)
    if active is None:
        return f"the conversation is not waiting for {event.generation_id}"
    active.spoke = True
    transition = None if active.state.wait else context.scope(active).first_enabled(active.state.next)
    if transition is None:
        context.wait_for_user(active)
    return _continue(context, active, transition, limit)


def _generation_failed(context: StepContext, event: GenerationFailed, limit: int) -> str:
    active = context.find(lambda active: active.waiting_for == event.generation_id and active.busy)
    if active is None:
        return f"the conversation is not waiting for {event.generation_id}"
    message = f"{event.reason}: {event.message}"
    transition = handle_error(context, active, "failed", "GENERATION_FAILED", message)
    return _continue(context, active, transition, limit)


def _interpreted(context: StepContext, event: Interpreted, limit: int) -> str:
    active = context.find(lambda active: active.waiting_for == event.interpretation_id and active.busy)
    if active is None:
        return f"the conversation is not waiting for {event.interpretation_id}"
    active.waiting_for = USER
    process_interpretation(context, active, event.pending_message, event.proposals, limit)
    return ""


def _interpretation_failed(context: StepContext, event: InterpretationFailed, limit: int) -> str:
    active = context.find(lambda active: active.waiting_for == event.interpretation_id and active.busy)
    if active is None:
        return f"the conversation is not waiting for {event.interpretation_id}"
    active.waiting_for = USER
    context.note("not-interpreted", f"{event.reason}: {event.message}", active.state)
    process_interpretation(context, active, event.pending_message, (), limit)
    return ""


def _timer_fired(context: StepContext, event: TimerFired, limit: int) -> str:
    active = context.find(lambda active: active.timer != "" and active.timer == event.timer_id)
    timeout = active.state.timeout if active else None
    if active is None or timeout is None:
        return f"the timer {event.timer_id!r} is not set"
    active.timer = ""
    context.set_time(event.now)
    take_fallback(context, active, timeout, "timeout")
    run(context, limit)
    return ""


def _continue(context: StepContext, active: ActiveState, transition: Transition | None, limit: int) -> str:
    """Takes the transition, if any, and runs the other regions, which waited for this one."""
    if transition is not None:
        take(context, EnabledTransition(active, transition))
    run(context, limit)
    return ""


_HANDLERS: Mapping[type, Callable[[StepContext, Any, int], str]] = {
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
