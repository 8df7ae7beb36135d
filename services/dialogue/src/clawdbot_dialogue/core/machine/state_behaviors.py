"""The behavior of each kind of state: what invoking it does, and when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clawdbot_dialogue.core.flow.cel.expressions import EvaluationError
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import ErrorKind, State, StateKind, Transition
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots
from clawdbot_dialogue.core.machine.active_state import USER
from clawdbot_dialogue.core.machine.effects import CallTool, Generate, HandOff
from clawdbot_dialogue.core.machine.slot_filling import next_to_ask, question
from clawdbot_dialogue.core.machine.step_context import MAX_STACK_DEPTH, StepContext

SUBFLOW_PREFIX = "subflow"
"""The prefix of the ids of subflow calls."""


def is_finished(context: StepContext) -> bool:
    """Whether the focused state is finished, so that its `next` may be evaluated."""
    focus = context.focus
    finished = _FINISHED.get(focus.state.kind)
    return finished is not None and not focus.resting and finished(context)


def _always(_: StepContext) -> bool:
    return True


def _collected(context: StepContext) -> bool:
    if next_to_ask(context):
        return False
    focus = context.focus
    focus.asked = ""
    if focus.state.name not in context.visited:
        context.visited = (*context.visited, focus.state.name)
    return True


def _ended(context: StepContext) -> bool:
    parallel = context.state.joins
    if not parallel:
        return not context.state.final
    within = [active for active in context.active_states if parallel in active.state.ancestors]
    return all(active.state.joins == parallel for active in within)


_FINISHED: Mapping[StateKind, Callable[[StepContext], bool]] = {
    "say": _always,
    "choice": _always,
    "collect": _collected,
    "end": _ended,
}
"""Kinds of states that finish by themselves; the others finish with the event that they wait for."""


def next_transition(context: StepContext) -> Transition | None:
    """The first enabled transition; if there is none, the state rests."""
    transition = context.scope.first_enabled(context.state.next)
    if transition is None:
        fail_without_transition(context)
        context.rest()
    return transition


def fail_without_transition(context: StepContext) -> None:
    """Reports that no transition is enabled, if the state has any."""
    if context.state.next:
        context.fail("NO_TRANSITION", f"None of the guards of {context.state.name} passes.")
        context.say(context.flow.locale.messages["stuck"])


def error_transitions(state: State, kind: ErrorKind) -> tuple[Transition, ...]:
    """The transitions of a state for an error of some kind."""
    return tuple(each for each in state.errors if each.on_error in ("any", kind))


def handle_error(context: StepContext, kind: ErrorKind, reason: str, message: str) -> Transition | None:
    """The transition for an error of the state's tool, model or subflow. Without one, reports the error."""
    transition = context.scope.first_enabled(error_transitions(context.state, kind))
    if transition is None:
        context.fail(reason, message)
        wording = context.flow.locale.messages
        if context.state.kind == "generate":
            context.say(wording["model_failed"])
            context.wait_for_user()
        else:
            context.say(wording["tool_failed"])
            context.rest()
    return transition


def invoke(context: StepContext) -> Transition | None:
    """Invokes the focused state: asks, calls or replies, and waits.

    Returns:
        The transition to take at once, because of an error; None otherwise.
    """
    return _INVOKERS[context.focus.state.kind](context)


def _ask(context: StepContext) -> Transition | None:
    focus = context.focus
    if focus.resting or focus.asked:
        return None
    if not context.has_open_question:
        focus.asked = next_to_ask(context)
        context.say(question(context, focus.asked))
    context.wait_for_user()
    return None


def _generate(context: StepContext) -> Transition | None:
    if not context.focus.waiting_for:
        if context.user_has_spoken:
            request_generation(context)
        else:
            context.wait_for_user()
    return None


def request_generation(context: StepContext) -> None:
    """Lets the model of the focused state reply."""
    generation = context.state.generation
    if generation is None:  # cannot happen in a generate state
        return
    generation_id = context.next_id("generation")
    context.focus.waiting_for = generation_id
    instructions = context.render(generation.instructions)
    context.effects.append(Generate(generation_id, generation.model, instructions, generation.tools))


def _call(context: StepContext) -> Transition | None:
    call = context.state.call
    if call is None or context.focus.waiting_for:  # call is never None in a call state
        return None
    try:
        arguments = {name: context.scope.evaluate(each.tree) for name, each in call.arguments.items()}
    except EvaluationError as error:
        context.set_result(None)
        return handle_error(context, "failed", "ARGUMENT_FAILED", f"{call.tool} was not called: {error}.")
    call_id = context.next_id("call")
    context.focus.waiting_for = call_id
    context.effects.append(CallTool(call_id, call.tool, arguments, call.effect))
    return None


def _subflow(context: StepContext) -> Transition | None:
    subflow = context.state.subflow
    if subflow is None or context.focus.waiting_for:  # subflow is never None in a subflow state
        return None
    try:
        if len(context.flow_stack) >= MAX_STACK_DEPTH:
            raise EvaluationError(f"more than {MAX_STACK_DEPTH} flows call one another")
        flow = context.find_flow(subflow.flow)
        given = {name: context.scope.evaluate(each.tree) for name, each in subflow.give.items()}
        slots = validate_slots(flow, given, context.now)
    except (EvaluationError, FlowNotFound, SlotValidationError) as error:
        context.set_result(None)
        message = f"{subflow.flow} was not started: {error}."
        return handle_error(context, "failed", "SUBFLOW_FAILED", message)
    context.focus.waiting_for = context.next_id(SUBFLOW_PREFIX)
    context.push(flow, slots)
    return None


def _hand_off(context: StepContext) -> Transition | None:
    if context.status == "handed_off":
        return None
    if context.state.say is None:
        context.say(context.flow.locale.messages["handed_off"])
    context.status = "handed_off"
    context.handoff_queue = context.state.queue
    context.effects.append(HandOff(context.state.queue))
    context.set_timer()
    return None


def _rest(context: StepContext) -> Transition | None:
    """Waits for the other regions, or because there is nothing left to do."""
    if context.focus.waiting_for != USER:
        context.wait_for_user()
    return None


_INVOKERS: Mapping[StateKind, Callable[[StepContext], Transition | None]] = {
    "collect": _ask,
    "generate": _generate,
    "call": _call,
    "subflow": _subflow,
    "handoff": _hand_off,
    "end": _rest,
    "say": _rest,
    "choice": _rest,
}
