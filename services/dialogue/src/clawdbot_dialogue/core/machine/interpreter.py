"""The loop that goes on until every state waits: transitions first, then raised events, then work.

One round is a micro-step, as in https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation; what SCXML
calls invoking is here the work of a state: a question, a call, a reply of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_dialogue.core.flow.model import Transition
from clawdbot_dialogue.core.flow.slots.slot import SlotRefused
from clawdbot_dialogue.core.machine.active_state import USER, Spot
from clawdbot_dialogue.core.machine.snapshot import Frame
from clawdbot_dialogue.core.machine.state_behaviors import SUBFLOW, done, failed_ways, onward, stuck, work
from clawdbot_dialogue.core.machine.step_context import Progress
from clawdbot_dialogue.core.machine.transitions import (
    Way,
    joined,
    leave_all,
    start,
    take,
    take_all,
    without_conflicts,
)

MICRO_STEPS = 100
"""States that may be gone through without anything coming from outside."""


def run(progress: Progress, limit: int) -> None:
    """Goes on until every state waits, or the limit is reached."""
    while progress.steps < limit:
        progress.steps += 1
        if ways := _ready(progress):
            take_all(progress, ways)
        elif progress.raised:
            name = progress.raised.pop(0)
            progress.see({"name": name, "data": {}})
            taken = taking(progress, name)
            if not taken:
                progress.note("ignored-event", f"no state takes the event {name!r}")
            take_all(progress, taken)
        elif progress.here.state.final:
            if not end(progress, cancelled=False):
                return
        elif not _work(progress):
            _set_timers(progress)
            progress.attend()
            return
    _stop(progress, limit)


def pass_through(progress: Progress, limit: int) -> None:
    """Goes on through states that only say or choose, as far as those that do more."""
    while progress.steps < limit:
        ways = [
            Way(spot, transition)
            for spot in tuple(progress.spots)
            if spot.state.kind in ("say", "choice")
            if (transition := _first(progress, spot, spot.state.next))
        ]
        if not ways:
            break
        progress.steps += 1
        take_all(progress, without_conflicts(progress, ways))
    progress.attend()


def taking(progress: Progress, event: str) -> Sequence[Way]:
    """The ways that an event takes."""
    ways = []
    for spot in progress.spots:
        matching = tuple(way for way in spot.state.events if _matches(way.event, event))
        if matching and (transition := _first(progress, spot, matching)):
            ways.append(Way(spot, transition, "event"))
    return without_conflicts(progress, ways)


def _matches(descriptor: str, event: str) -> bool:
    """Whether a transition is for an event; https://www.w3.org/TR/scxml/#EventDescriptors."""
    return descriptor in ("*", event) or event.startswith(f"{descriptor}.")


def _first(progress: Progress, spot: Spot, transitions: tuple[Transition, ...]) -> Transition | None:
    progress.attend(spot)
    return progress.scope.first(transitions)


def _ready(progress: Progress) -> Sequence[Way]:
    """The ways out of states that have done their work; where none is, those that are stuck rest."""
    ways: list[Way] = []
    nowhere: list[Spot] = []
    for spot in _finished(progress):
        if transition := _first(progress, spot, spot.state.next):
            ways.append(Way(spot, transition))
        else:
            nowhere.append(spot)
    if not ways:
        for spot in nowhere:
            progress.attend(spot)
            stuck(progress)
            # What stands for regions is no place of its own: they rest, and it sets no timer.
            for each in _joining(progress, spot.state.joins) or [spot]:
                progress.attend(each)
                progress.rest()
    return without_conflicts(progress, ways)


def _finished(progress: Progress) -> list[Spot]:
    """The spots whose states have done their work; for a parallel state one that stands for its regions."""
    finished: list[Spot] = []
    seen: set[str] = set()
    for spot in progress.spots:
        progress.attend(spot)
        parallel = spot.state.joins
        if parallel in seen or not done(progress):
            continue
        if parallel:
            seen.add(parallel)
            depth = len(progress.flow.states[parallel].regions)
            finished.append(Spot.new(spot.state, joined(_joining(progress, parallel), depth)))
        else:
            finished.append(spot)
    return finished


def _joining(progress: Progress, parallel: str) -> list[Spot]:
    return [spot for spot in progress.spots if parallel and spot.state.joins == parallel]


def _work(progress: Progress) -> bool:
    """Lets the states do what they do, one tool, reply or subflow at a time; True where this leads on."""
    if progress.busy:
        return False
    for spot in progress.spots:
        progress.attend(spot)
        if transition := work(progress):
            take(progress, Way(spot, transition))
            return True
        if not progress.spots:
            start(progress, "called")
            return True
        if spot.busy:
            return False
    return False


def _set_timers(progress: Progress) -> None:
    """Sets the timers of all that waits, unless a tool or the model is at work: then once it is done."""
    if not progress.busy:
        for spot in progress.spots:
            if spot.waiting_for == USER and spot.state.timeout and not spot.timer:
                progress.attend(spot)
                progress.set_timer()


def end(progress: Progress, *, cancelled: bool) -> bool:
    """Ends the running flow; True where another one goes on, which waited for it."""
    leave_all(progress)
    over = progress.finish()
    if over is None:
        return False
    _resume(progress)
    if progress.spot_where(lambda spot: spot.waiting_for.startswith(SUBFLOW)):
        _returned(progress, over, cancelled=cancelled)
    return True


def _returned(progress: Progress, over: Frame, *, cancelled: bool) -> None:
    """A subflow is over."""
    spot = progress.here
    spot.waiting_for = ""
    result = {"flow": over.flow, "state": over.state, "slots": dict(over.slots), "cancelled": cancelled}
    progress.set_result(result)
    subflow = spot.state.subflow
    for name, theirs in subflow.take.items() if subflow else ():
        value = over.slots.get(theirs)
        try:
            slot = progress.flow.slots[name]
            progress.set_slot(name, None if value is None else slot.check(value, progress.now))
        except SlotRefused as refused:
            progress.note("not-set", f"{name} was not set: {refused}")
    transition = progress.scope.first(failed_ways(spot.state, "cancelled")) if cancelled else None
    transition = transition or onward(progress)
    if transition:
        take(progress, Way(spot, transition))


def _resume(progress: Progress) -> None:
    """Goes on with a flow that waited, where it was: asks again, unless it is to keep silent."""
    silent = progress.flow.interrupts.resume == "silent"
    for spot in progress.spots:
        if spot.waiting_for == USER:
            progress.attend(spot)
            if spot.asked and not (silent and spot.asked not in progress.slots):
                spot.asked = ""
            else:
                progress.set_timer()


def _stop(progress: Progress, limit: int) -> None:
    progress.fail("FLOW_LOOP", f"The flow went through {limit} states without waiting for anybody.")
    progress.say(progress.flow.locale.wording["stuck"])
    progress.raised.clear()
    for spot in progress.spots:
        progress.attend(spot)
        progress.rest()
