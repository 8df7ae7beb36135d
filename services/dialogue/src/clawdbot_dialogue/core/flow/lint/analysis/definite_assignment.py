"""Definite assignment: the slots that certainly have a value in each state and on each transition.

A data-flow analysis over the states, to a fixed point. A slot is assigned after a state that collects it, an
action that sets it, or a subflow that it is taken from, and unassigned after a `clear`. Initial values of a
session are not counted on. Values that do not fit a slot, and what a person corrects or takes back, are not
considered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clawdbot_dialogue.core.flow.lint.analysis.control_flow import own_transitions
from clawdbot_dialogue.core.flow.model import Action, Assign, Clear, Flow, State, Transition
from clawdbot_dialogue.core.flow.tree import ancestors_below, is_descendant

_Slots: TypeAlias = frozenset[str]
MAX_MERGES = 200_000
"""Times that a path is merged into a state, each about 10 µs: many states may change many times. With 100
slots more, each counts once more."""
_COMPOSITE_KINDS = ("compound", "parallel")


class TooManyPaths(Exception):
    """The paths of a flow had to be merged more than MAX_MERGES times."""


@dataclass(frozen=True, slots=True)
class DefiniteAssignments:
    """The slots that certainly have a value, on whatever path the flow got there."""

    in_state: Mapping[str, _Slots]
    """For each reachable state: as long as it is active. For a composite state: when it has been entered,
    before its children are."""
    at_transition: Mapping[tuple[str, int], _Slots]
    """For each transition that can be taken, by its source and number: when its guard is evaluated."""


def definite_assignments(flow: Flow) -> DefiniteAssignments:
    """The slots that certainly have a value in each reachable state, and at each transition.

    Raises:
        TooManyPaths: the flow is too large.
    """
    return _DataFlow(flow).run()


class _DataFlow:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._all = frozenset(flow.slots)
        self._assigned: dict[str, _Slots] = {}
        self._at_default_entry: dict[str, _Slots] = {}
        """What was assigned when a composite state was entered at its default."""
        self._reached: list[str] = []
        """The states in the order in which they were reached."""
        self._at_transition: dict[tuple[str, int], _Slots] = {}
        self._changed = False
        self._unsettled: set[str] = set()
        """The states that changed since their transitions were followed."""
        self._merges = 0
        self._merge_cost = 1 + len(flow.slots) // 100
        self._has_history = any(state.kind == "history" for state in flow.states.values())
        self._reset_on_entry = {
            state.name: frozenset(slot for slot in state.collect if flow.slots[slot].asked_only)
            for state in flow.states.values()
        }
        self._clearable_beside = self._clearable_beside_states()
        self._never_cleared = self._all - _cleared_slots(self._clearing_actions(flow.states.values()))
        self._kept: dict[str, _Slots] = {}
        """For the parent of a history state: what is not cleared while that parent is inactive."""
        self._joined: set[str] = set()
        """The parallel states left by their joint end in this round: each has many ends, with one way on."""

    def run(self) -> DefiniteAssignments:
        states = self._flow.states
        changed = True
        while changed:
            self._changed = False
            self._joined.clear()
            self._enter(states[self._flow.initial], "", frozenset())
            if self._flow.on_handoff:
                # From anywhere: the parent of that state may be entered for it, or be active already.
                handoff = states[self._flow.on_handoff]
                self._enter(handoff, "", frozenset())
                self._enter(handoff, handoff.parent, frozenset())
            for name in self._reached:  # grows meanwhile, so that most flows take two rounds
                state = states[name]
                if state.kind in (*_COMPOSITE_KINDS, "history"):
                    continue
                # What a join or a history state gives depends on other states as well.
                if name in self._unsettled or state.joins or self._has_history:
                    self._unsettled.discard(name)
                    self._leave(state)
            changed = self._changed
        return DefiniteAssignments(self._assigned, self._at_transition)

    def _leave(self, state: State) -> None:
        states = self._flow.states
        for source, transition, known in self._exits(state, self._assigned[state.name]):
            key = (transition.source, transition.number)
            self._at_transition[key] = _common(self._at_transition.get(key, self._all), known)
            if transition.to:
                after_exit = self._after_exit(source, transition.domain, known)
                after_actions = _after_actions(transition.actions, after_exit)
                self._enter(states[transition.to], transition.domain, after_actions)
            else:
                self._merge(state.name, _after_actions(transition.actions, known))

    def _enter(self, target: State, domain: str, known: _Slots) -> None:
        """Enters a state from within an ancestor: the states in between, then its default entries."""
        states = self._flow.states
        for outer in ancestors_below(target.ancestors, domain):
            known = _after_actions(states[outer].entry, known)
            self._merge(outer, known)
            if states[outer].kind == "parallel":
                siblings = (each for each in states[outer].children if each != target.name)
                self._enter_all((each for each in siblings if each not in target.ancestors), outer, known)
        if target.kind == "history":
            self._enter_history(target, known)
            return
        known = _without(_after_actions(target.entry, known), self._reset_on_entry[target.name])
        self._merge(target.name, known)
        if target.kind not in _COMPOSITE_KINDS or not self._default_entry_changed(target, known):
            return
        if target.kind == "compound":
            self._enter(states[target.initial], target.name, known)
        elif target.kind == "parallel":
            self._enter_all(target.children, target.name, known)

    def _default_entry_changed(self, target: State, known: _Slots) -> bool:
        """Whether fewer slots are assigned than at the default entries before; others do not count."""
        before = self._at_default_entry.get(target.name)
        fewer = known if before is None else _common(before, known)
        self._at_default_entry[target.name] = fewer
        return fewer != before

    def _enter_all(self, names: Iterable[str], domain: str, known: _Slots) -> None:
        for name in names:
            self._enter(self._flow.states[name], domain, known)

    def _enter_history(self, history: State, known: _Slots) -> None:
        """Enters a history state: its default, or what was active last, with what was assigned there."""
        states, outer = self._flow.states, history.parent
        self._merge(history.name, known)
        for transition in history.next:
            self._at_transition[history.name, transition.number] = self._assigned[history.name]
            self._enter(states[transition.to], outer, _after_actions(transition.actions, known))
        if outer not in self._kept:
            self._kept[outer] = self._all - _cleared_slots(self._clearing_actions_outside(outer))
        kept, kept_inside = self._kept[outer], self._never_cleared
        for name in tuple(self._assigned):
            state = states[name]
            if not is_descendant(state, outer) or state.kind == "history":
                continue
            if history.history == "deep" and state.kind not in _COMPOSITE_KINDS:
                self._enter(state, outer, known | kept)
            elif history.history == "shallow" and state.parent == outer:
                self._enter(state, outer, known | (kept_inside if state.kind in _COMPOSITE_KINDS else kept))

    def _merge(self, name: str, known: _Slots) -> None:
        """Meets a state's assigned slots with those of one more path."""
        known = _without(known, self._clearable_beside[name])
        before = self._assigned.get(name)
        fewer = known if before is None else _common(before, known)
        self._assigned[name] = fewer
        if before is None:
            self._reached.append(name)
        self._merges += self._merge_cost
        if self._merges > MAX_MERGES:
            raise TooManyPaths
        if fewer != before:
            self._changed = True
            self._unsettled.add(name)

    def _after_exit(self, state: State, domain: str, known: _Slots) -> _Slots:
        for name in (state.name, *reversed(ancestors_below(state.ancestors, domain))):
            # Other regions are exited as well, in their own order.
            after = _after_actions(self._flow.states[name].exit, known)
            known = _without(after, self._clearable_beside[name])
        return known

    def _exits(self, state: State, before: _Slots) -> Iterator[tuple[State, Transition, _Slots]]:
        """The transitions of a state: the state that is exited, the transition, and what is assigned."""
        done, failed = before.union(state.collect) if state.collect else before, before
        if state.subflow:
            done |= frozenset(state.subflow.take)
            failed -= frozenset(state.subflow.take)
        if not state.joins:
            yield from ((state, transition, done) for transition in state.next)
        elif state.joins not in self._joined:
            self._joined.add(state.joins)
            parallel = self._flow.states[state.joins]
            joined = self._after_join(parallel)
            yield from ((parallel, transition, joined) for transition in state.next)
        yield from ((state, transition, failed) for transition in state.errors)
        yield from ((state, transition, before) for transition in state.events)
        for fallback in (state.no_match, state.timeout):
            if fallback and fallback.to:
                yield state, Transition(fallback.to, fallback.source, fallback.domain, number=-1), before

    def _after_join(self, parallel: State) -> _Slots:
        """What the regions of a parallel state have assigned when all have ended and been exited."""
        states, joined = self._flow.states, frozenset[str]()
        for region in parallel.children:
            ends = [
                self._after_exit(states[child], parallel.name, self._assigned[child])
                for child in states[region].children
                if states[child].joins == parallel.name and child in self._assigned
            ]
            joined |= self._all if not ends else frozenset.intersection(*ends)
        return joined

    # What may be cleared, and where.

    def _clearable_beside_states(self) -> Mapping[str, _Slots]:
        """For each state, what other regions may clear at any time while it is active."""
        states = self._flow.states
        cleared_in: defaultdict[str, set[str]] = defaultdict(set)
        for state in states.values():
            if own := _cleared_slots(self._clearing_actions([state])):
                for name in (state.name, *state.ancestors):
                    cleared_in[name] |= own
        beside: dict[str, _Slots] = {}
        for state in states.values():
            if state.kind == "parallel":
                times = Counter(slot for region in state.children for slot in cleared_in[region])
                several = frozenset(slot for slot, count in times.items() if count > 1)
                for region in state.children:
                    beside[region] = several | (times.keys() - cleared_in[region])
        return {
            name: frozenset[str]().union(*(beside[region] for _, region in state.regions))
            for name, state in states.items()
        }

    def _clearing_actions(self, states: Iterable[State]) -> Iterator[Sequence[Action]]:
        for state in states:
            yield [Clear(slot) for slot in self._reset_on_entry[state.name]]
            yield state.entry
            yield state.exit
            yield from (transition.actions for transition in own_transitions(state))

    def _clearing_actions_outside(self, outer: str) -> Iterator[Sequence[Action]]:
        """The actions outside of a state, and those on exiting it."""
        states = self._flow.states
        for state in states.values():
            if not is_descendant(state, outer):
                yield from self._clearing_actions([state])
                continue
            yield state.exit
            for transition in own_transitions(state):
                if transition.to and not is_descendant(states[transition.to], outer):
                    yield transition.actions


def _without(known: _Slots, removed: _Slots) -> _Slots:
    """The difference, copied only if there is one: most often nothing is removed."""
    return known - removed if removed else known


def _common(before: _Slots, known: _Slots) -> _Slots:
    """The intersection, copied only if it is smaller: most often it is not."""
    return before if before is known or before <= known else before & known


def _cleared_slots(actions: Iterable[Sequence[Action]]) -> _Slots:
    return frozenset(each.slot for sequence in actions for each in sequence if isinstance(each, Clear))


def _after_actions(actions: Sequence[Action], known: _Slots) -> _Slots:
    for action in actions:
        if isinstance(action, Assign):
            known |= {action.slot}
        elif isinstance(action, Clear):
            known -= {action.slot}
    return known
