"""What each kind of state does while the conversation is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clawdbot_dialogue.core.flow.cel.expressions import EvaluationFailed
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import ErrorKind, State, StateKind, Transition
from clawdbot_dialogue.core.flow.slots.validation import SlotInvalid, validate_slots
from clawdbot_dialogue.core.machine.active_state import USER
from clawdbot_dialogue.core.machine.effects import CallTool, Generate, HandOff
from clawdbot_dialogue.core.machine.slot_filling import missing, question
from clawdbot_dialogue.core.machine.step_context import DEEPEST_STACK, Progress

SUBFLOW = "subflow"
"""What the ids of calls of flows begin with."""


def done(progress: Progress) -> bool:
    """Whether the state that it is about has done its work, so that its `next` may be looked at."""
    here = progress.here
    is_done = _DONE.get(here.state.kind)
    return is_done is not None and not here.resting and is_done(progress)


def _nothing_to_do(_: Progress) -> bool:
    return True


def _collected(progress: Progress) -> bool:
    if missing(progress):
        return False
    here = progress.here
    here.asked = ""
    if here.state.name not in progress.passed:
        progress.passed = (*progress.passed, here.state.name)
    return True


def _ended(progress: Progress) -> bool:
    parallel = progress.state.joins
    if not parallel:
        return not progress.state.final
    within = [spot for spot in progress.spots if parallel in spot.state.ancestors]
    return all(spot.state.joins == parallel for spot in within)


_DONE: Mapping[StateKind, Callable[[Progress], bool]] = {
    "say": _nothing_to_do,
    "choice": _nothing_to_do,
    "collect": _collected,
    "end": _ended,
}
"""Kinds of state that know it themselves; of the others, what returns says it."""


def onward(progress: Progress) -> Transition | None:
    """The first transition that holds; rests where there is none."""
    transition = progress.scope.first(progress.state.next)
    if transition is None:
        stuck(progress)
        progress.rest()
    return transition


def stuck(progress: Progress) -> None:
    """Nothing leads on from here: declared where something was meant to."""
    if progress.state.next:
        progress.fail("NO_TRANSITION", f"None of the guards of {progress.state.name} holds.")
        progress.say(progress.flow.locale.wording["stuck"])


def failed_ways(state: State, kind: ErrorKind) -> tuple[Transition, ...]:
    """The transitions of a state that a failure of some kind may take."""
    return tuple(way for way in state.errors if way.on_error in ("any", kind))


def failed(progress: Progress, kind: ErrorKind, reason: str, message: str) -> Transition | None:
    """The way out of a state whose tool, model or subflow failed; without one the failure is declared."""
    transition = progress.scope.first(failed_ways(progress.state, kind))
    if transition is None:
        progress.fail(reason, message)
        wording = progress.flow.locale.wording
        if progress.state.kind == "generate":
            progress.say(wording["model_failed"])
            progress.wait_for_user()
        else:
            progress.say(wording["tool_failed"])
            progress.rest()
    return transition


def work(progress: Progress) -> Transition | None:
    """Lets the state that it is about do what it does until something comes from outside.

    Returns:
        Where to go at once, since the work failed.
    """
    return _WORK[progress.here.state.kind](progress)


def _ask(progress: Progress) -> Transition | None:
    here = progress.here
    if here.resting or here.asked:
        return None
    if not progress.asking:
        here.asked = missing(progress)
        progress.say(question(progress, here.asked))
    progress.wait_for_user()
    return None


def _generate(progress: Progress) -> Transition | None:
    if not progress.here.waiting_for:
        if progress.heard:
            generate(progress)
        else:
            progress.wait_for_user()
    return None


def generate(progress: Progress) -> None:
    """Asks the model for words."""
    generation = progress.state.generation
    if generation is None:  # the kind says that there is one
        return
    generation_id = progress.next_id("generation")
    progress.here.waiting_for = generation_id
    instructions = progress.text(generation.instructions)
    progress.effects.append(Generate(generation_id, generation.model, instructions, generation.tools))


def _call(progress: Progress) -> Transition | None:
    call = progress.state.call
    if call is None or progress.here.waiting_for:  # the kind says that there is one
        return None
    try:
        arguments = {name: progress.scope.argument(each.build) for name, each in call.arguments.items()}
    except EvaluationFailed as failure:
        progress.set_result(None)
        return failed(progress, "failed", "ARGUMENT_FAILED", f"{call.tool} was not called: {failure}.")
    call_id = progress.next_id("call")
    progress.here.waiting_for = call_id
    progress.effects.append(CallTool(call_id, call.tool, arguments, call.effect))
    return None


def _subflow(progress: Progress) -> Transition | None:
    subflow = progress.state.subflow
    if subflow is None or progress.here.waiting_for:  # the kind says that there is one
        return None
    try:
        if len(progress.inside) >= DEEPEST_STACK:
            raise EvaluationFailed(f"more than {DEEPEST_STACK} flows within one another")
        flow = progress.flows(subflow.flow)
        given = {name: progress.scope.argument(each.build) for name, each in subflow.give.items()}
        slots = validate_slots(flow, given, progress.now)
    except (EvaluationFailed, FlowNotFound, SlotInvalid) as failure:
        progress.set_result(None)
        return failed(progress, "failed", "SUBFLOW_FAILED", f"{subflow.flow} was not started: {failure}.")
    progress.here.waiting_for = progress.next_id(SUBFLOW)
    progress.push(flow, slots)
    return None


def _hand_off(progress: Progress) -> Transition | None:
    if progress.status == "handed_off":
        return None
    if progress.state.say is None:
        progress.say(progress.flow.locale.wording["handed_off"])
    progress.status = "handed_off"
    progress.handoff_queue = progress.state.queue
    progress.effects.append(HandOff(progress.state.queue))
    progress.set_timer()
    return None


def _rest(progress: Progress) -> Transition | None:
    """Waits for the other regions, or has nothing to do."""
    if progress.here.waiting_for != USER:
        progress.wait_for_user()
    return None


_WORK: Mapping[StateKind, Callable[[Progress], Transition | None]] = {
    "collect": _ask,
    "generate": _generate,
    "call": _call,
    "subflow": _subflow,
    "handoff": _hand_off,
    "end": _rest,
    "say": _rest,
    "choice": _rest,
}
