"""Which slots surely have a value, in each state and on each way: a data-flow problem over the states.

A slot counts as filled after a state that collects it, an action that sets it, or a subflow from which it
is taken, and as empty after a `clear`. Not counted on are values given when a conversation is opened; not
thought of are values that do not fit, and what a person takes back or corrects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from clawdbot_dialogue.core.flow.model import Action, Assign, Clear, Flow, State, Transition
from clawdbot_dialogue.core.flow.tree import below, path_between

_Slots: TypeAlias = frozenset[str]
_HOLDING = ("compound", "parallel")


@dataclass(frozen=True, slots=True)
class Filled:
    """What is surely filled, whatever way led there."""

    states: Mapping[str, _Slots]
    """For each state that the flow can come to: as long as the flow is in it. For one that holds others:
    when it has been entered, before those are."""
    ways: Mapping[tuple[str, int], _Slots]
    """For each transition that can be taken, by its source and number: when it is looked at."""


def surely_filled(flow: Flow) -> Filled:
    """The slots that have a value in each state that the flow can come to, and on each way."""
    return _Filling(flow).run()


class _Filling:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._all = frozenset(flow.slots)
        self._filled: dict[str, _Slots] = {}
        self._begun: dict[str, _Slots] = {}
        """What was filled where a state that holds others was entered for itself."""
        self._found: list[str] = []
        """The states in the order in which they were come to."""
        self._ways: dict[tuple[str, int], _Slots] = {}
        self._changed = False
        self._beside = {name: self._emptied_beside(state) for name, state in flow.states.items()}

    def run(self) -> Filled:
        states = self._flow.states
        changed = True
        while changed:
            self._changed = False
            self._enter(states[self._flow.initial], "", frozenset())
            if self._flow.on_handoff:
                # From anywhere: what holds that state may be left and entered for it, or not.
                person = states[self._flow.on_handoff]
                self._enter(person, "", frozenset())
                self._enter(person, person.parent, frozenset())
            for name in self._found:  # grows meanwhile, so that most flows take two rounds
                if states[name].kind not in (*_HOLDING, "history"):
                    self._go_on(states[name])
            changed = self._changed
        return Filled(self._filled, self._ways)

    def _go_on(self, state: State) -> None:
        states = self._flow.states
        for source, way, known in self._after(state, self._filled[state.name]):
            at = (way.source, way.number)
            self._ways[at] = self._ways.get(at, self._all) & known
            if way.to:
                left = self._left(source, way.domain, known)
                self._enter(states[way.to], way.domain, _acted(way.actions, left))
            else:
                self._meet(state.name, _acted(way.actions, known))

    def _enter(self, target: State, holder: str, known: _Slots) -> None:
        """Comes to a state from within a holder, through those in between, and to where it begins."""
        states = self._flow.states
        for outer in path_between(target.ancestors, holder):
            known = _acted(states[outer].entry, known)
            self._meet(outer, known)
            if states[outer].kind == "parallel":
                beside = (each for each in states[outer].children if each != target.name)
                self._enter_all((each for each in beside if each not in target.ancestors), outer, known)
        if target.kind == "history":
            self._remember(target, known)
            return
        known = _acted(target.entry, known) - self._asked_anew(target)
        self._meet(target.name, known)
        if not self._begins(target, known):
            return
        if target.kind == "compound":
            self._enter(states[target.initial], target.name, known)
        elif target.kind == "parallel":
            self._enter_all(target.children, target.name, known)

    def _begins(self, target: State, known: _Slots) -> bool:
        """Whether it is news that what a state holds begins so; it may have been come to without that."""
        before = self._begun.get(target.name)
        less = known if before is None else before & known
        self._begun[target.name] = less
        return less != before

    def _enter_all(self, names: Iterable[str], holder: str, known: _Slots) -> None:
        for name in names:
            self._enter(self._flow.states[name], holder, known)

    def _remember(self, history: State, known: _Slots) -> None:
        """Comes to a history state: to its default, or to what was left, with what was known there."""
        states, holder = self._flow.states, history.parent
        self._meet(history.name, known)
        for way in history.next:
            self._ways[history.name, way.number] = self._filled[history.name]
            self._enter(states[way.to], holder, _acted(way.actions, known))
        kept = self._all - _emptied(self._emptying_outside(holder))
        begun = self._all - _emptied(self._emptying(states.values()))
        for name in tuple(self._filled):
            state = states[name]
            if not below(state, holder) or state.kind == "history":
                continue
            if history.history == "deep" and state.kind not in _HOLDING:
                self._enter(state, holder, known | kept)
            elif history.history == "shallow" and state.parent == holder:
                self._enter(state, holder, known | (begun if state.kind in _HOLDING else kept))

    def _asked_anew(self, state: State) -> _Slots:
        return frozenset(slot for slot in state.collect if self._flow.slots[slot].asked_only)

    def _meet(self, name: str, known: _Slots) -> bool:
        """Whether what is surely filled there is less than was thought."""
        known -= self._beside[name]
        before = self._filled.get(name)
        less = known if before is None else before & known
        self._filled[name] = less
        if before is None:
            self._found.append(name)
        self._changed |= less != before
        return less != before

    def _left(self, state: State, holder: str, known: _Slots) -> _Slots:
        for name in (state.name, *reversed(path_between(state.ancestors, holder))):
            # Regions beside it are left as well, in an order of their own.
            known = _acted(self._flow.states[name].exit, known) - self._beside[name]
        return known

    def _after(self, state: State, before: _Slots) -> Iterator[tuple[State, Transition, _Slots]]:
        """The ways out of a state: what is left first, the way, and what is filled."""
        done, broken, source = before | frozenset(state.collect), before, state
        if state.joins:
            source = self._flow.states[state.joins]
            done = self._joined(source)
        if state.subflow:
            done |= frozenset(state.subflow.take)
            broken -= frozenset(state.subflow.take)
        yield from ((source, way, done) for way in state.next)
        yield from ((state, way, broken) for way in state.errors)
        yield from ((state, way, before) for way in state.events)
        for aside in (state.no_match, state.timeout):
            if aside and aside.to:
                yield state, Transition(aside.to, aside.source, aside.domain, number=-1), before

    def _joined(self, parallel: State) -> _Slots:
        """What the regions of a parallel state have filled once all have ended and been left."""
        states, joined = self._flow.states, frozenset[str]()
        for region in parallel.children:
            ends = [
                self._left(states[child], parallel.name, self._filled[child])
                for child in states[region].children
                if states[child].joins == parallel.name and child in self._filled
            ]
            joined |= self._all if not ends else frozenset.intersection(*ends)
        return joined

    # What may be emptied, and by whom.

    def _emptied_beside(self, state: State) -> _Slots:
        """What other regions may empty at any time while the flow is in a state."""
        states, beside = self._flow.states, list[State]()
        for parallel, region in state.regions:
            others = [each for each in states[parallel].children if each != region]
            for each in states.values():
                if any(each.name == other or other in each.ancestors for other in others):
                    beside.append(each)
        return _emptied(self._emptying(beside))

    def _emptying(self, states: Iterable[State]) -> Iterator[Sequence[Action]]:
        for state in states:
            yield [Clear(slot) for slot in self._asked_anew(state)]
            yield state.entry
            yield state.exit
            yield from (way.actions for way in own_ways(state))

    def _emptying_outside(self, holder: str) -> Iterator[Sequence[Action]]:
        """What is done outside a state, and on the way out of it."""
        states = self._flow.states
        for state in states.values():
            if not below(state, holder):
                yield from self._emptying([state])
                continue
            yield state.exit
            for way in own_ways(state):
                if way.to and not below(states[way.to], holder):
                    yield way.actions


def _emptied(done: Iterable[Sequence[Action]]) -> _Slots:
    return frozenset(action.slot for actions in done for action in actions if isinstance(action, Clear))


def _acted(actions: Sequence[Action], known: _Slots) -> _Slots:
    for action in actions:
        if isinstance(action, Assign):
            known |= {action.slot}
        elif isinstance(action, Clear):
            known -= {action.slot}
    return known


def own_ways(state: State) -> Iterator[Transition]:
    """The transitions of a state that it does not have from one that holds it."""
    return (way for way in (*state.next, *state.errors, *state.events) if way.source == state.name)
