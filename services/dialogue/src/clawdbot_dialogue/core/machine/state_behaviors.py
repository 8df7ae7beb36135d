"""The behavior of each kind of state: what invoking it does, and when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clawdbot_dialogue.core.flow.cel.expressions import EvaluationError
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import ErrorKind, State, StateKind, Transition
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots
from clawdbot_dialogue.core.machine.active_state import USER, ActiveState
from clawdbot_dialogue.core.machine.effects import CallTool, Generate, HandOff
from clawdbot_dialogue.core.machine.slot_filling import next_to_ask, question
from clawdbot_dialogue.core.machine.step_context import MAX_STACK_DEPTH, StepContext

SUBFLOW_PREFIX = "subflow"
"""The prefix of the ids of subflow calls."""


def is_finished(context: StepContext, active: ActiveState) -> bool:
    """Whether an active state is finished, so that its `next` may be evaluated."""
    finished = _FINISHED.get(active.state.kind)
    return finished is not None and not active.resting and finished(context, active)


def _always(_: StepContext, __: ActiveState) -> bool:
    return True


def _collected(context: StepContext, active: ActiveState) -> bool:
    if next_to_ask(context, active.state):
        return False
    active.asked = ""
    if active.state.name not in context.visited:
        context.visited = (*context.visited, active.state.name)
    return True


def _ended(context: StepContext, active: ActiveState) -> bool:
    parallel = active.state.joins
    if not parallel:
        return not active.state.final
    within = [each for each in context.active_states if parallel in each.state.ancestors]
    return all(each.state.joins == parallel for each in within)


_FINISHED: Mapping[StateKind, Callable[[StepContext, ActiveState], bool]] = {
    "say": _always,
    "choice": _always,
    "collect": _collected,
    "end": _ended,
}
"""Kinds of states that finish by themselves; the others finish with the event that they wait for."""


def next_transition(context: StepContext, active: ActiveState) -> Transition | None:
    """The first enabled transition; if there is none, the state rests."""
    transition = context.scope(active).first_enabled(active.state.next)
    if transition is None:
        fail_without_transition(context, active.state)
        context.rest(active)
    return transition


def fail_without_transition(context: StepContext, state: State) -> None:
    """Reports that no transition is enabled, if the state has any."""
    if state.next:
        context.fail("NO_TRANSITION", f"None of the guards of {state.name} passes.")
        context.say(context.flow.locale.messages["stuck"])


def error_transitions(state: State, kind: ErrorKind) -> tuple[Transition, ...]:
    """The transitions of a state for an error of some kind."""
    return tuple(each for each in state.errors if each.on_error in ("any", kind))


def handle_error(
    context: StepContext, active: ActiveState, kind: ErrorKind, reason: str, message: str
) -> Transition | None:
    """The transition for an error of the state's tool, model or subflow. Without one, reports the error."""
    transition = context.scope(active).first_enabled(error_transitions(active.state, kind))
    if transition is None:
        context.fail(reason, message)
        wording = context.flow.locale.messages
        if active.state.kind == "generate":
            context.say(wording["model_failed"])
            context.wait_for_user(active)
        else:
            context.say(wording["tool_failed"])
            context.rest(active)
    return transition


def invoke(context: StepContext, active: ActiveState) -> Transition | None:
    """Invokes an active state: asks, calls or replies, and waits.

    Returns:
        The transition to take at once, because of an error; None otherwise.
    """
    return _INVOKERS[active.state.kind](context, active)


def _ask(context: StepContext, active: ActiveState) -> Transition | None:
    if active.resting or active.asked:
        return None
    if not context.has_open_question:
        active.asked = next_to_ask(context, active.state)
        context.say(question(context, active, active.asked))
    context.wait_for_user(active)
    return None


def _generate(context: StepContext, active: ActiveState) -> Transition | None:
    if not active.waiting_for:
        if context.user_has_spoken:
            request_generation(context, active)
        else:
            context.wait_for_user(active)
    return None


def request_generation(context: StepContext, active: ActiveState) -> None:
    """Lets the model of an active state reply."""
    generation = active.state.generation
    if generation is None:  # cannot happen in a generate state
        return
    generation_id = context.next_id("generation")
    active.waiting_for = generation_id
    instructions = context.render(generation.instructions, active)
    context.effects.append(Generate(generation_id, generation.model, instructions, generation.tools))


def _call(context: StepContext, active: ActiveState) -> Transition | None:
    call = active.state.call
    if call is None or active.waiting_for:  # call is never None in a call state
        return None
    try:
        arguments = {name: context.scope(active).evaluate(each.tree) for name, each in call.arguments.items()}
    except EvaluationError as error:
        context.set_result(active, None)
        message = f"{call.tool} was not called: {error}."
        return handle_error(context, active, "failed", "ARGUMENT_FAILED", message)
    call_id = context.next_id("call")
    active.waiting_for = call_id
    context.effects.append(CallTool(call_id, call.tool, arguments, call.effect))
    return None


def _subflow(context: StepContext, active: ActiveState) -> Transition | None:
    subflow = active.state.subflow
    if subflow is None or active.waiting_for:  # subflow is never None in a subflow state
        return None
    try:
        if len(context.flow_stack) >= MAX_STACK_DEPTH:
            raise EvaluationError(f"more than {MAX_STACK_DEPTH} flows call one another")
        flow = context.find_flow(subflow.flow)
        given = {name: context.scope(active).evaluate(each.tree) for name, each in subflow.give.items()}
        slots = validate_slots(flow, given, context.now)
    except (EvaluationError, FlowNotFound, SlotValidationError) as error:
        context.set_result(active, None)
        message = f"{subflow.flow} was not started: {error}."
        return handle_error(context, active, "failed", "SUBFLOW_FAILED", message)
    active.waiting_for = context.next_id(SUBFLOW_PREFIX)
    context.push(flow, slots)
    return None


def _hand_off(context: StepContext, active: ActiveState) -> Transition | None:
    if context.status == "handed_off":
        return None
    if active.state.say is None:
        context.say(context.flow.locale.messages["handed_off"])
    context.status = "handed_off"
    context.handoff_queue = active.state.queue
    context.effects.append(HandOff(active.state.queue))
    context.set_timer(active)
    return None


def _rest(context: StepContext, active: ActiveState) -> Transition | None:
    """Waits for the other regions, or because there is nothing left to do."""
    if active.waiting_for != USER:
        context.wait_for_user(active)
    return None


_INVOKERS: Mapping[StateKind, Callable[[StepContext, ActiveState], Transition | None]] = {
    "collect": _ask,
    "generate": _generate,
    "call": _call,
    "subflow": _subflow,
    "handoff": _hand_off,
    "end": _rest,
    "say": _rest,
    "choice": _rest,
}
