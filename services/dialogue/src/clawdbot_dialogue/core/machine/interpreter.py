"""The interpreter loop: takes transitions and raised events, and invokes states, until every state waits.

One iteration is a microstep, as in https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation. To invoke a
state means to ask its question, or to start its tool call, model reply or subflow.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_dialogue.core.flow.slots.slot import SlotValueError
from clawdbot_dialogue.core.machine.active_state import USER, ActiveState
from clawdbot_dialogue.core.machine.snapshot import Frame
from clawdbot_dialogue.core.machine.state_behaviors import (
    SUBFLOW_PREFIX,
    error_transitions,
    fail_without_transition,
    invoke,
    is_finished,
    next_transition,
)
from clawdbot_dialogue.core.machine.step_context import StepContext
from clawdbot_dialogue.core.machine.transitions import (
    EnabledTransition,
    enter_initial_state,
    exit_all,
    joined_result,
    remove_conflicts,
    take,
    take_all,
)

MAX_MICROSTEPS = 100
"""Microsteps that may happen without external input."""


def run(context: StepContext, limit: int) -> None:
    """Runs until every active state waits, or until the limit of microsteps is reached."""
    while context.steps < limit:
        context.steps += 1
        if eventless := _eventless_transitions(context):
            take_all(context, eventless)
        elif context.raised:
            name = context.raised.pop(0)
            context.set_event({"name": name, "data": {}})
            enabled = enabled_transitions(context, name)
            if not enabled:
                message = f"no active state has a transition for the event {name!r}"
                context.note("ignored-event", message, context.addressed.state)
            take_all(context, enabled)
        elif context.active_states[0].state.final:
            if not end_flow(context, cancelled=False):
                return
        elif not _invoke(context):
            _set_timers(context)
            return
    _stop_loop(context, limit)


def pass_through(context: StepContext, limit: int) -> None:
    """Takes the transitions of states that only say something or choose, until none is enabled."""
    while context.steps < limit:
        enabled = [
            EnabledTransition(active, transition)
            for active in tuple(context.active_states)
            if active.state.kind in ("say", "choice")
            if (transition := context.scope(active).first_enabled(active.state.next))
        ]
        if not enabled:
            break
        context.steps += 1
        take_all(context, remove_conflicts(context, enabled))


def enabled_transitions(context: StepContext, event: str) -> Sequence[EnabledTransition]:
    """The transitions that an event enables."""
    enabled = []
    for active in context.active_states:
        matching = tuple(each for each in active.state.events if _matches(each.event, event))
        if matching and (transition := context.scope(active).first_enabled(matching)):
            enabled.append(EnabledTransition(active, transition, "event"))
    return remove_conflicts(context, enabled)


def _matches(descriptor: str, event: str) -> bool:
    """Whether an event descriptor matches an event; https://www.w3.org/TR/scxml/#EventDescriptors."""
    return descriptor in ("*", event) or event.startswith(f"{descriptor}.")


def _eventless_transitions(context: StepContext) -> Sequence[EnabledTransition]:
    """The enabled transitions of finished states. If there are none, the finished states rest."""
    enabled: list[EnabledTransition] = []
    stuck: list[ActiveState] = []
    for active in _finished_states(context):
        if transition := context.scope(active).first_enabled(active.state.next):
            enabled.append(EnabledTransition(active, transition))
        else:
            stuck.append(active)
    if not enabled:
        for active in stuck:
            fail_without_transition(context, active.state)
            # The placeholder of a parallel state is not active itself: its regions rest, and it sets no
            # timer.
            for each in _joining_regions(context, active.state.joins) or [active]:
                context.rest(each)
    return remove_conflicts(context, enabled)


def _finished_states(context: StepContext) -> list[ActiveState]:
    """The active states that are finished; for a finished parallel state one placeholder for its regions."""
    finished: list[ActiveState] = []
    seen: set[str] = set()
    for active in context.active_states:
        parallel = active.state.joins
        if parallel in seen or not is_finished(context, active):
            continue
        if parallel:
            seen.add(parallel)
            depth = len(context.flow.states[parallel].regions)
            finished.append(
                ActiveState.new(active.state, joined_result(_joining_regions(context, parallel), depth))
            )
        else:
            finished.append(active)
    return finished


def _joining_regions(context: StepContext, parallel: str) -> list[ActiveState]:
    return [active for active in context.active_states if parallel and active.state.joins == parallel]


def _invoke(context: StepContext) -> bool:
    """Invokes the active states, one tool, reply or subflow at a time. True if the loop must continue."""
    if context.busy:
        return False
    for active in context.active_states:
        if transition := invoke(context, active):
            take(context, EnabledTransition(active, transition))
            return True
        if not context.active_states:
            enter_initial_state(context, "called")
            return True
        if active.busy:
            return False
    return False


def _set_timers(context: StepContext) -> None:
    """Sets the timers of the states that wait for the person, unless a tool or the model is still busy."""
    if not context.busy:
        for active in context.active_states:
            if active.waiting_for == USER:
                context.set_timer(active)


def end_flow(context: StepContext, *, cancelled: bool) -> bool:
    """Ends the running flow; True if a flow that waited for it continues."""
    exit_all(context)
    ended = context.pop()
    if ended is None:
        return False
    _resume_flow(context)
    caller = context.find(lambda active: active.waiting_for.startswith(SUBFLOW_PREFIX))
    if caller:
        _subflow_returned(context, caller, ended, cancelled=cancelled)
    return True


def _subflow_returned(context: StepContext, active: ActiveState, ended: Frame, *, cancelled: bool) -> None:
    """Passes the result of a subflow to the state that called it, and leaves that state."""
    active.waiting_for = ""
    result = {"flow": ended.flow, "state": ended.state, "slots": dict(ended.slots), "cancelled": cancelled}
    context.set_result(active, result)
    subflow = active.state.subflow
    for name, theirs in subflow.take.items() if subflow else ():
        value = ended.slots.get(theirs)
        try:
            slot = context.flow.slots[name]
            context.set_slot(name, None if value is None else slot.check(value, context.now))
        except SlotValueError as refused:
            context.note("not-set", f"{name} was not set: {refused}", active.state)
    errors = error_transitions(active.state, "cancelled") if cancelled else ()
    transition = context.scope(active).first_enabled(errors) or next_transition(context, active)
    if transition:
        take(context, EnabledTransition(active, transition))


def _resume_flow(context: StepContext) -> None:
    """Resumes a flow that waited: repeats its question, unless the flow says to resume silently."""
    silent = context.flow.interrupts.resume == "silent"
    for active in context.active_states:
        if active.waiting_for == USER:
            if active.asked and not (silent and active.asked not in context.slots):
                active.asked = ""
            else:
                context.set_timer(active)


def _stop_loop(context: StepContext, limit: int) -> None:
    context.fail("FLOW_LOOP", f"The flow took {limit} microsteps without waiting for input.")
    context.say(context.flow.locale.messages["stuck"])
    context.raised.clear()
    for active in context.active_states:
        context.rest(active)
