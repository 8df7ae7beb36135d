"""Goes from states to states: what is left and entered, in which order, and what is done on the way.

The order is that of https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation: states are left from the
innermost outwards and the last in the document first, then the transitions' actions are done, then states are
entered from the outermost inwards and the first first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clawdbot_dialogue.core.flow.cel.expressions import EvaluationFailed
from clawdbot_dialogue.core.flow.model import (
    Action,
    Assign,
    Clear,
    NoMatch,
    Raise,
    State,
    StateKind,
    Timeout,
    Transition,
    Utter,
)
from clawdbot_dialogue.core.flow.slots.slot import SlotRefused
from clawdbot_dialogue.core.flow.tree import apart, below, domain, path_between
from clawdbot_dialogue.core.machine.active_state import Spot
from clawdbot_dialogue.core.machine.effects import StateEntered
from clawdbot_dialogue.core.machine.step_context import Progress
from clawdbot_dialogue.core.machine.step_result import Cause, TransitionTaken

HOLDING: tuple[StateKind, ...] = ("compound", "parallel")
"""Kinds of state that hold others; a flow is never in them alone."""
_NEVER_ALONE: tuple[StateKind, ...] = (*HOLDING, "history")


@dataclass(slots=True)
class _Entering:
    """What is about to be entered."""

    states: dict[State, None]
    defaults: dict[State, tuple[Action, ...]]
    """The actions of a history state's transition, by the state that holds it: done right after its entry."""


class Way(NamedTuple):
    """A transition, and the spot whose state takes it."""

    spot: Spot
    transition: Transition
    cause: Cause = "next"


def start(progress: Progress, cause: Cause) -> None:
    """Enters the initial state of a flow that is nowhere yet."""
    flow = progress.flow
    progress.trace.append(TransitionTaken(flow.name, "", flow.initial, cause))
    progress.spots = []
    _enter(progress, flow.states[flow.initial], "", None)


def take(progress: Progress, way: Way) -> None:
    """Goes along one way."""
    take_all(progress, (way,))


def take_all(progress: Progress, ways: Sequence[Way]) -> None:
    """Goes along ways that do not conflict, as one micro-step."""
    moves = [way for way in ways if way.transition.to]
    for way in moves:
        cause: Cause = "error" if way.transition.on_error else way.cause
        source = way.spot.state.name
        progress.trace.append(TransitionTaken(progress.flow.name, source, way.transition.to, cause))
    results = _leave(progress, [way.transition.domain for way in moves]) if moves else ()
    for way in ways:
        _act(progress, way.transition.actions, way.spot)
    handed_off = progress.status != "active"
    if moves and handed_off and not any(spot.state.kind == "handoff" for spot in progress.spots):
        progress.status = "active"
        progress.handoff_queue = ""
    for way, result in zip(moves, results, strict=True):
        _enter(progress, progress.flow.states[way.transition.to], way.transition.domain, result)


def go(progress: Progress, to: str, cause: Cause) -> None:
    """Goes to a state that no transition of the flow leads to: as if the nearest spot had one."""
    states = progress.flow.states
    target = states[to]
    spot = max(progress.spots, key=lambda each: len(domain(states, each.state, target)))
    take(progress, Way(spot, Transition(to, spot.state.name, domain(states, spot.state, target)), cause))


def turn_aside(progress: Progress, aside: NoMatch | Timeout, cause: Cause) -> None:
    """Goes where a state leads that was not understood, or not answered in time."""
    actions = (Utter(aside.say),) if isinstance(aside, Timeout) and aside.say else ()
    way = Transition(aside.to, aside.source, aside.domain, actions=actions)
    take(progress, Way(progress.here, way, cause))


def restart(progress: Progress, actions: tuple[Action, ...] = ()) -> None:
    """Leaves all that it is in, does the actions, and begins the flow anew."""
    take(progress, Way(progress.here, Transition(progress.flow.initial, actions=actions), "restarted"))


def without_conflicts(progress: Progress, ways: Sequence[Way]) -> Sequence[Way]:
    """Those of the ways that can be taken together.

    Of two that would leave the same state, the one that begins further inside is taken, else the first.
    """
    if len(ways) < 2:
        return ways
    states, kept = progress.flow.states, list[Way]()
    for way in ways:
        if any(way.transition is other.transition for other in kept):
            continue
        rivals = [other for other in kept if _conflict(progress, way.transition, other.transition)]
        inner = states[way.transition.source]
        if all(below(inner, rival.transition.source) for rival in rivals):
            kept = [other for other in kept if other not in rivals] + [way]
    return kept


def _conflict(progress: Progress, one: Transition, other: Transition) -> bool:
    if not one.to or not other.to:
        return False
    return any(below(spot.state, one.domain) and below(spot.state, other.domain) for spot in progress.spots)


def _leave(progress: Progress, domains: Sequence[str]) -> Sequence[object]:
    """Leaves all that lies below the domains; returns the results that go on with what is entered in each."""
    spots = progress.spots
    if len(spots) == 1 and not spots[0].state.ancestors:
        # The plain case, and the most frequent: one state, which nothing holds.
        (leaving,) = spots
        progress.cancel_timer(leaving)
        _act(progress, leaving.state.exit, leaving)
        progress.spots = []
        return (leaving.result,)
    _exit(progress, domains)
    going = [[spot for spot in spots if below(spot.state, holder)] for holder in domains]
    progress.spots = [spot for spot in spots if not any(spot in group for group in going)]
    states = progress.flow.states
    return [
        joined(group, len(states[holder].regions) if holder else 0)
        for group, holder in zip(going, domains, strict=True)
    ]


def leave_all(progress: Progress) -> None:
    """Does what is to be done when states are left, for the flow is over. It is known where it was."""
    _exit(progress, ("",))


def _exit(progress: Progress, domains: Sequence[str]) -> None:
    """Does the exit actions of all that lies below the domains, innermost and last first."""
    states, inside = progress.flow.states, dict[State, Spot]()
    going = [spot for spot in progress.spots if any(below(spot.state, holder) for holder in domains)]
    for spot in going:
        progress.cancel_timer(spot)
        inside[spot.state] = spot
        for holder in domains:
            if below(spot.state, holder):
                for name in path_between(spot.state.ancestors, holder):
                    inside.setdefault(states[name], spot)
    for state in sorted(inside, key=lambda each: -each.order):
        if state.remembers:
            left = tuple(spot.state.name for spot in going if state.name in spot.state.ancestors)
            progress.left = {**progress.left, state.name: left}
        _act(progress, state.exit, inside[state])


def joined(spots: Sequence[Spot], depth: int) -> object:
    """The result of spots: that of the only one; of several, each region's by its name.

    Args:
        spots: All that lie in one state that holds others.
        depth: How many regions lie around that state.
    """
    if len(spots) == 1:
        return spots[0].result
    regions: dict[str, list[Spot]] = {}
    for spot in spots:
        regions.setdefault(spot.state.regions[depth][1].rpartition(".")[2], []).append(spot)
    results = {name: joined(within, depth + 1) for name, within in regions.items()}
    return {name: result for name, result in results.items() if result is not None}


def _enter(progress: Progress, target: State, holder: str, result: object) -> None:
    """Enters a state, those between it and the holder, and where those begin that hold others."""
    if not target.ancestors and target.kind not in _NEVER_ALONE:
        _enter_one(progress, target, result)
        return
    entering = _Entering({}, {})
    _add_inside(progress, target, entering)
    _add_around(progress, target, holder, entering)
    for parent, actions in entering.defaults.items():
        if parent not in entering.states:  # it was not left
            _act(progress, actions, progress.here)
    depth = len(progress.flow.states[holder].regions) if holder else 0
    for state in sorted(entering.states, key=lambda each: each.order):
        # Regions begin with no result, else each would hand on what all of them began with, over and over.
        _enter_one(progress, state, result if len(state.regions) == depth else None)
        _act(progress, entering.defaults.get(state, ()), progress.here)
    progress.spots.sort(key=lambda each: each.state.order)


def _enter_one(progress: Progress, state: State, result: object) -> None:
    spot = Spot.new(state, result)
    progress.attend(spot)
    if state.kind not in HOLDING:
        if state.name in progress.passed:
            _step_back(progress, state)
        progress.spots.append(spot)
        progress.effects.append(StateEntered(progress.flow.name, state.name))
    _act(progress, state.entry, spot)
    for slot in state.collect:
        # A confirmation is asked for anew: what was confirmed may have changed.
        if progress.flow.slots[slot].asked_only:
            progress.set_slot(slot, None)
    progress.say(state.say)


def _step_back(progress: Progress, state: State) -> None:
    """Forgets the way from a state on, for the conversation comes back to it."""
    position = progress.passed.index(state.name)
    states = progress.flow.states
    after = [name for name in progress.passed[position:] if apart(states[name], state)]
    progress.passed = (*progress.passed[:position], *after)
    if state.name in progress.sealed:
        progress.sealed = ()  # the flow itself goes back: what was called settled nothing
    else:
        progress.sealed = tuple(name for name in progress.sealed if name in progress.passed)


def _add_inside(progress: Progress, state: State, entering: _Entering) -> None:
    """Adds a state and where it begins."""
    states = progress.flow.states
    match state.kind:
        case "history":
            if state.parent not in progress.left:
                entering.defaults[states[state.parent]] = state.next[0].actions
            remembered = [states[name] for name in _remembered(progress, state)]
            for each in remembered:
                _add_inside(progress, each, entering)
            # Only then: else regions would begin anew that are still to be added.
            for each in remembered:
                _add_around(progress, each, state.parent, entering)
        case "compound":
            entering.states[state] = None
            _add_inside(progress, states[state.initial], entering)
            _add_around(progress, states[state.initial], state.name, entering)
        case "parallel":
            entering.states[state] = None
            _add_regions(progress, state, entering)
        case _:
            entering.states[state] = None


def _add_around(progress: Progress, state: State, holder: str, entering: _Entering) -> None:
    """Adds what holds a state, as far as a holder, with the other regions of what is parallel."""
    if not state.ancestors:
        return
    for name in reversed(path_between(state.ancestors, holder)):
        outer = progress.flow.states[name]
        entering.states[outer] = None
        if outer.kind == "parallel":
            _add_regions(progress, outer, entering)


def _add_regions(progress: Progress, parallel: State, entering: _Entering) -> None:
    for name in parallel.children:
        region = progress.flow.states[name]
        if region not in entering.states and not any(name in each.ancestors for each in entering.states):
            _add_inside(progress, region, entering)


def _remembered(progress: Progress, history: State) -> Sequence[str]:
    """The states that a history state stands for now."""
    left = progress.left.get(history.parent)
    if left is None:
        return [way.to for way in history.next]
    if history.history == "deep":
        return left
    depth = len(history.ancestors)
    return list(dict.fromkeys([".".join(name.split(".")[: depth + 1]) for name in left]))


def _act(progress: Progress, actions: Sequence[Action], spot: Spot) -> None:
    """Does actions in order, as seen from a spot."""
    if not actions:
        return
    if progress.here is not spot:
        progress.attend(spot)
    for action in actions:
        match action:
            case Utter(text):
                progress.say(text)
            case Clear(slot):
                progress.set_slot(slot, None)
            case Raise(event):
                progress.raised.append(event)
            case Assign():
                _assign(progress, action)


def _assign(progress: Progress, action: Assign) -> None:
    """Fills a slot, unless the value cannot be worked out or does not fit: then it stays as it is."""
    slot = progress.flow.slots[action.slot]
    try:
        value = progress.scope.argument(action.value.build)
        if value is not None:
            value = slot.check(value, progress.now)
    except (EvaluationFailed, SlotRefused) as failure:
        progress.note("not-set", f"{action.slot} was not set: {failure}")
        return
    progress.set_slot(action.slot, value)
