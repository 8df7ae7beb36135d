"""What each kind of state does once it is entered, and the loop that goes on until one waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clawdbot_dialogue.core.flow.expressions import EvaluationFailed
from clawdbot_dialogue.core.flow.model import ErrorKind, Transition
from clawdbot_dialogue.core.machine.effects import CallTool, Generate, HandOff
from clawdbot_dialogue.core.machine.progress import Progress

MICRO_STEPS = 100
"""States that may be gone through without anything coming from outside."""


def run(progress: Progress, limit: int) -> None:
    """Lets the state do its work and goes on to the next, until one waits or the limit is reached."""
    while True:
        if progress.steps >= limit:
            progress.fail("FLOW_LOOP", f"The flow went through {limit} states without waiting for anybody.")
            progress.say(progress.flow.locale.wording["stuck"])
            progress.rest()
            return
        progress.steps += 1
        transition = _WORK[progress.state.kind](progress)
        if transition is None:
            return
        progress.take(transition)


def pass_through(progress: Progress, limit: int) -> None:
    """Goes on through states that only say or choose, as far as one that does more."""
    while progress.state.kind in ("say", "choice") and progress.steps < limit:
        transition = progress.scope.first(progress.state.next)
        if transition is None:
            return
        progress.steps += 1
        progress.take(transition)


def _collect(progress: Progress) -> Transition | None:
    for name in progress.state.collect:
        if name not in progress.slots:
            progress.asked = name
            progress.say(progress.flow.slots[name].ask)
            progress.wait_for_user()
            return None
    name = progress.state.name
    progress.asked = ""
    if name not in progress.passed:
        progress.passed = (*progress.passed, name)
    return onward(progress)


def onward(progress: Progress) -> Transition | None:
    """The first transition that holds; rests where there is none."""
    ways = progress.state.next
    transition = progress.scope.first(ways)
    if transition is None:
        if ways:
            progress.fail("NO_TRANSITION", f"None of the guards of {progress.state.name} holds.")
            progress.say(progress.flow.locale.wording["stuck"])
        progress.rest()
    return transition


def _generate(progress: Progress) -> Transition | None:
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
    progress.waiting_for = generation_id
    instructions = progress.scope.text(generation.instructions)
    progress.effects.append(Generate(generation_id, generation.model, instructions, generation.tools))


def _call(progress: Progress) -> Transition | None:
    call = progress.state.call
    if call is None:  # the kind says that there is one
        return None
    try:
        arguments = {name: progress.scope.argument(each.build) for name, each in call.arguments.items()}
    except EvaluationFailed as failure:
        progress.set_result(None)
        return failed(progress, "failed", "ARGUMENT_FAILED", f"{call.tool} was not called: {failure}.")
    call_id = progress.next_id("call")
    progress.waiting_for = call_id
    progress.effects.append(CallTool(call_id, call.tool, arguments, call.effect))
    return None


def failed(progress: Progress, kind: ErrorKind, reason: str, message: str) -> Transition | None:
    """The way out of a state whose tool or model failed; without one the failure is declared."""
    ways = (way for way in progress.state.errors if way.on_error in ("any", kind))
    transition = progress.scope.first(ways)
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


def _hand_off(progress: Progress) -> Transition | None:
    if progress.state.say is None:
        progress.say(progress.flow.locale.wording["handed_off"])
    progress.status = "handed_off"
    progress.handoff_queue = progress.state.queue
    progress.waiting_for = None
    progress.effects.append(HandOff(progress.state.queue))
    progress.set_timer()
    return None


def _end(progress: Progress) -> Transition | None:
    if progress.finish():
        return resume(progress)
    return None


def resume(progress: Progress) -> Transition | None:
    """Goes on with a flow that was interrupted, where it was."""
    state = progress.state
    if progress.resting or state.kind == "generate" or (_asked(progress) and _silent(progress)):
        progress.wait_for_user()
        return None
    # Asks again; or does what a flow that was interrupted on waking up has not come to yet.
    return _WORK[state.kind](progress)


def _asked(progress: Progress) -> bool:
    return progress.asked != "" and progress.asked not in progress.slots


def _silent(progress: Progress) -> bool:
    return progress.flow.interrupts.resume == "silent"


_WORK: Mapping[str, Callable[[Progress], Transition | None]] = {
    "collect": _collect,
    "generate": _generate,
    "call": _call,
    "handoff": _hand_off,
    "end": _end,
    "say": onward,
    "choice": onward,
}
