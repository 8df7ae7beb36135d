"""Takes transitions: which states are exited and entered, in which order, and which actions are executed.

The order is that of https://www.w3.org/TR/scxml/#AlgorithmforSCXMLInterpretation: states are exited from the
inside out and in reverse document order, then the transitions' actions are executed, then states are entered
from the outside in and in document order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clawdbot_dialogue.core.flow.cel.expressions import EvaluationError
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
from clawdbot_dialogue.core.flow.slots.slot import SlotValueError
from clawdbot_dialogue.core.flow.tree import (
    ancestors_below,
    is_descendant,
    separating_parallel,
    transition_domain,
)
from clawdbot_dialogue.core.machine.active_state import ActiveState
from clawdbot_dialogue.core.machine.effects import StateEntered
from clawdbot_dialogue.core.machine.step_context import StepContext
from clawdbot_dialogue.core.machine.step_result import Cause, TransitionTaken

COMPOSITE_KINDS: tuple[StateKind, ...] = ("compound", "parallel")
"""Kinds of states that contain others. A flow is never in such a state without being in one of its
descendants."""
_NON_ATOMIC_KINDS: tuple[StateKind, ...] = (*COMPOSITE_KINDS, "history")


@dataclass(slots=True)
class _EntrySet:
    """The states that are about to be entered."""

    states: dict[State, None]
    defaults: dict[State, tuple[Action, ...]]
    """The parent of a history state → the actions of the history's default transition, executed after its
    entry."""


class EnabledTransition(NamedTuple):
    """A transition that is about to be taken, and the active state that takes it."""

    active_state: ActiveState
    transition: Transition
    cause: Cause = "next"


def enter_initial_state(context: StepContext, cause: Cause) -> None:
    """Enters the initial state of a flow that has no active state yet."""
    flow = context.flow
    context.trace.append(TransitionTaken(flow.name, "", flow.initial, cause))
    context.active_states = []
    _enter_target(context, flow.states[flow.initial], "", None)


def take(context: StepContext, enabled: EnabledTransition) -> None:
    """Takes one transition."""
    take_all(context, (enabled,))


def take_all(context: StepContext, enabled: Sequence[EnabledTransition]) -> None:
    """Takes transitions that do not conflict, as one microstep."""
    moves = [each for each in enabled if each.transition.to]
    for move in moves:
        cause: Cause = "error" if move.transition.on_error else move.cause
        source = move.active_state.state.name
        context.trace.append(TransitionTaken(context.flow.name, source, move.transition.to, cause))
    results = _exit_domains(context, [move.transition.domain for move in moves]) if moves else ()
    for each in enabled:
        _execute(context, each.transition.actions, each.active_state)
    handed_off = context.status != "active"
    if moves and handed_off and not any(active.state.kind == "handoff" for active in context.active_states):
        context.status = "active"
        context.handoff_queue = ""
    for move, result in zip(moves, results, strict=True):
        _enter_target(context, context.flow.states[move.transition.to], move.transition.domain, result)


def go_to(context: StepContext, to: str, cause: Cause) -> None:
    """Goes to a state without a transition in the flow, as if the nearest active state had one."""
    states = context.flow.states
    target = states[to]
    nearest = max(context.active_states, key=lambda each: len(transition_domain(states, each.state, target)))
    transition = Transition(to, nearest.state.name, transition_domain(states, nearest.state, target))
    take(context, EnabledTransition(nearest, transition, cause))


def take_fallback(
    context: StepContext, active: ActiveState, fallback: NoMatch | Timeout, cause: Cause
) -> None:
    """Goes where an active state leads if nothing was understood, or if nobody answered in time."""
    actions = (Utter(fallback.say),) if isinstance(fallback, Timeout) and fallback.say else ()
    transition = Transition(fallback.to, fallback.source, fallback.domain, actions=actions)
    take(context, EnabledTransition(active, transition, cause))


def restart(context: StepContext, active: ActiveState, actions: tuple[Action, ...] = ()) -> None:
    """Exits all active states, executes the actions for one of them, and enters the flow's initial state."""
    transition = Transition(context.flow.initial, actions=actions)
    take(context, EnabledTransition(active, transition, "restarted"))


def remove_conflicts(
    context: StepContext, enabled: Sequence[EnabledTransition]
) -> Sequence[EnabledTransition]:
    """The transitions that can be taken together.

    Of two that would exit the same state, the one whose source is a descendant of the other's wins, else the
    first.
    """
    if len(enabled) < 2:
        return enabled
    states, kept = context.flow.states, list[EnabledTransition]()
    for each in enabled:
        if any(each.transition is other.transition for other in kept):
            continue
        rivals = [other for other in kept if _conflicts(context, each.transition, other.transition)]
        source = states[each.transition.source]
        if all(is_descendant(source, rival.transition.source) for rival in rivals):
            kept = [other for other in kept if other not in rivals] + [each]
    return kept


def _conflicts(context: StepContext, one: Transition, other: Transition) -> bool:
    if not one.to or not other.to:
        return False
    return any(
        is_descendant(active.state, one.domain) and is_descendant(active.state, other.domain)
        for active in context.active_states
    )


def _exit_domains(context: StepContext, domains: Sequence[str]) -> Sequence[object]:
    """Exits everything below the domains; returns for each the result to pass on to what is entered."""
    active_states = context.active_states
    if len(active_states) == 1 and not active_states[0].state.ancestors:
        # The simple and most frequent case: a single state at the top level.
        (only,) = active_states
        context.cancel_timer(only)
        _execute(context, only.state.exit, only)
        context.active_states = []
        return (only.result,)
    _exit_states(context, domains)
    exited = [
        [active for active in active_states if is_descendant(active.state, ancestor)] for ancestor in domains
    ]
    context.active_states = [
        active for active in active_states if not any(active in group for group in exited)
    ]
    states = context.flow.states
    return [
        joined_result(group, len(states[ancestor].regions) if ancestor else 0)
        for group, ancestor in zip(exited, domains, strict=True)
    ]


def exit_all(context: StepContext) -> None:
    """Executes the exit actions of all active states at the end of a flow; they stay recorded as active."""
    _exit_states(context, ("",))


def _exit_states(context: StepContext, domains: Sequence[str]) -> None:
    """Executes the exit actions of everything below the domains, from the inside out, last first."""
    states, by_state = context.flow.states, dict[State, ActiveState]()
    exited = [
        active
        for active in context.active_states
        if any(is_descendant(active.state, ancestor) for ancestor in domains)
    ]
    for active in exited:
        context.cancel_timer(active)
        by_state[active.state] = active
        for ancestor in domains:
            if is_descendant(active.state, ancestor):
                for name in ancestors_below(active.state.ancestors, ancestor):
                    by_state.setdefault(states[name], active)
    for state in sorted(by_state, key=lambda each: -each.order):
        if state.records_history:
            left = tuple(active.state.name for active in exited if state.name in active.state.ancestors)
            context.history = {**context.history, state.name: left}
        _execute(context, state.exit, by_state[state])


def joined_result(active_states: Sequence[ActiveState], depth: int) -> object:
    """The result of active states: of a single one its own; of several a mapping from region to result.

    Args:
        active_states: Everything that is active below one composite state.
        depth: The number of regions around that state.
    """
    if len(active_states) == 1:
        return active_states[0].result
    regions: dict[str, list[ActiveState]] = {}
    for active in active_states:
        regions.setdefault(active.state.regions[depth][1].rpartition(".")[2], []).append(active)
    results = {name: joined_result(within, depth + 1) for name, within in regions.items()}
    return {name: result for name, result in results.items() if result is not None}


def _enter_target(context: StepContext, target: State, ancestor: str, result: object) -> None:
    """Enters a target, its ancestors below `ancestor`, and the default descendants of composite states."""
    if not target.ancestors and target.kind not in _NON_ATOMIC_KINDS:
        _enter_state(context, target, result)
        return
    entry = _EntrySet({}, {})
    _add_descendants(context, target, entry)
    _add_ancestors(context, target, ancestor, entry)
    for parent, actions in entry.defaults.items():
        if parent not in entry.states:  # it was not exited
            _execute(context, actions, ActiveState.new(parent, result))
    depth = len(context.flow.states[ancestor].regions) if ancestor else 0
    for state in sorted(entry.states, key=lambda each: each.order):
        # Regions start without a result: otherwise each would pass on the result that all of them started
        # with.
        entered = _enter_state(context, state, result if len(state.regions) == depth else None)
        _execute(context, entry.defaults.get(state, ()), entered)
    context.active_states.sort(key=lambda each: each.state.order)


def _enter_state(context: StepContext, state: State, result: object) -> ActiveState:
    active = ActiveState.new(state, result)
    if state.kind not in COMPOSITE_KINDS:
        if state.name in context.visited:
            _rewind(context, state)
        context.active_states.append(active)
        context.effects.append(StateEntered(context.flow.name, state.name))
    _execute(context, state.entry, active)
    for slot in state.collect:
        # A confirmation is asked for again, since what was confirmed may have changed.
        if context.flow.slots[slot].asked_only:
            context.set_slot(slot, None)
    if state.say:
        context.say(context.render(state.say, active))
    return active


def _rewind(context: StepContext, state: State) -> None:
    """Forgets the states visited since a state, because the conversation has come back to it."""
    position = context.visited.index(state.name)
    states = context.flow.states
    later = [name for name in context.visited[position:] if separating_parallel(states[name], state)]
    context.visited = (*context.visited[:position], *later)
    if state.name in context.commit_points:
        context.commit_points = ()  # the flow itself went back, so the call was not final
    else:
        context.commit_points = tuple(name for name in context.commit_points if name in context.visited)


def _add_descendants(context: StepContext, state: State, entry: _EntrySet) -> None:
    """Adds a state, and the descendants that are entered with it."""
    states = context.flow.states
    match state.kind:
        case "history":
            if state.parent not in context.history:
                entry.defaults[states[state.parent]] = state.next[0].actions
            recorded = [states[name] for name in _history_states(context, state)]
            for each in recorded:
                _add_descendants(context, each, entry)
            # Only after that: otherwise regions that are still to be added would be entered by default.
            for each in recorded:
                _add_ancestors(context, each, state.parent, entry)
        case "compound":
            entry.states[state] = None
            _add_descendants(context, states[state.initial], entry)
            _add_ancestors(context, states[state.initial], state.name, entry)
        case "parallel":
            entry.states[state] = None
            _add_regions(context, state, entry)
        case _:
            entry.states[state] = None


def _add_ancestors(context: StepContext, state: State, ancestor: str, entry: _EntrySet) -> None:
    """Adds the ancestors of a state below `ancestor`, and the other regions of those that are parallel."""
    if not state.ancestors:
        return
    for name in reversed(ancestors_below(state.ancestors, ancestor)):
        outer = context.flow.states[name]
        entry.states[outer] = None
        if outer.kind == "parallel":
            _add_regions(context, outer, entry)


def _add_regions(context: StepContext, parallel: State, entry: _EntrySet) -> None:
    for name in parallel.children:
        region = context.flow.states[name]
        if region not in entry.states and not any(name in each.ancestors for each in entry.states):
            _add_descendants(context, region, entry)


def _history_states(context: StepContext, history: State) -> Sequence[str]:
    """The states that a history state currently stands for."""
    recorded = context.history.get(history.parent)
    if recorded is None:
        return [transition.to for transition in history.next]
    if history.history == "deep":
        return recorded
    depth = len(history.ancestors)
    return list(dict.fromkeys([".".join(name.split(".")[: depth + 1]) for name in recorded]))


def _execute(context: StepContext, actions: Sequence[Action], active: ActiveState) -> None:
    """Executes actions in order, with the result of an active state in scope."""
    for action in actions:
        match action:
            case Utter(text):
                context.say(context.render(text, active))
            case Clear(slot):
                context.set_slot(slot, None)
            case Raise(event):
                context.raised.append(event)
            case Assign():
                _assign(context, action, active)


def _assign(context: StepContext, action: Assign, active: ActiveState) -> None:
    """Sets a slot. If the value cannot be computed or is not valid, the slot keeps its value."""
    slot = context.flow.slots[action.slot]
    try:
        value = context.scope(active).evaluate(action.value.tree)
        if value is not None:
            value = slot.check(value, context.now)
    except (EvaluationError, SlotValueError) as error:
        context.note("not-set", f"{action.slot} was not set: {error}", active.state)
        return
    context.set_slot(action.slot, value)
