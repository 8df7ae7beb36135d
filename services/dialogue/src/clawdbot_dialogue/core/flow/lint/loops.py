"""Finds loops of states that never wait for the person: the machine would stop them with FLOW_LOOP.

Values of guards are not known, so a loop with guards is a warning; one without is an error. A state that
collects waits only the first time, unless its slots are cleared in the loop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.lint.analysis.cycles import cyclic_components, shortest_cycle
from clawdbot_dialogue.core.flow.lint.analysis.guard_implication import is_always_true
from clawdbot_dialogue.core.flow.model import Clear, Flow, State, Transition
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.tree import document_path

_PASS_THROUGH_KINDS = ("say", "choice", "call", "generate", "collect", "end")
"""Kinds of state that may continue by themselves; an end inside a state has the transitions of its parent."""
_MAX_SHOWN_STATES = 6
"""States of a loop that a message names."""
_HINT = "Wait for the person in the loop: collect a slot that the loop clears, or use `wait: true`."


def check_loops(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Adds an error or a warning for each loop."""
    transitions = {name: _automatic_transitions(flow, state) for name, state in flow.states.items()}
    in_infinite_loop: set[str] = set()
    for path in _infinite_loops(flow, transitions):
        in_infinite_loop |= {*path}
        message = f"{_format_path(path)} loops forever without waiting for the person."
        mark = document.key_at(document_path(flow.states, path[0]))
        diagnostics.error("loop", message, mark, _HINT)
    for path in _possible_loops(flow, transitions):
        if in_infinite_loop.isdisjoint(path):
            message = f"{_format_path(path)} may loop without waiting for the person."
            mark = document.key_at(document_path(flow.states, path[0]))
            diagnostics.warning("loop", message, mark, _HINT)


def _automatic_transitions(flow: Flow, state: State) -> Sequence[Transition]:
    """The transitions that a state may take without a message, in order."""
    # The end of a region continues when all of them have ended, and others may wait.
    waits = state.wait or state.joins or any(flow.slots[each].asked_only for each in state.collect)
    if state.kind not in _PASS_THROUGH_KINDS or waits:
        return ()
    transitions: list[Transition] = []
    for each in state.next:
        transitions.append(each)
        if _is_unconditional(each):
            break
    return [_to_initial_leaf(flow, each) for each in (*transitions, *state.errors) if each.to]


def _to_initial_leaf(flow: Flow, transition: Transition) -> Transition:
    """The transition, to the leaf that its target enters by default."""
    name = transition.to
    while flow.states[name].kind == "compound":
        name = flow.states[name].initial
    return transition if name == transition.to else dataclasses.replace(transition, to=name)


def _cleared(transition: Transition) -> Iterator[str]:
    return (action.slot for action in transition.actions if isinstance(action, Clear))


def _is_unconditional(transition: Transition) -> bool:
    return transition.on_error is None and (transition.guard is None or is_always_true(transition.guard.text))


def _infinite_loops(flow: Flow, transitions: Mapping[str, Sequence[Transition]]) -> Iterable[Sequence[str]]:
    """The loops in which each state continues to the next whatever the values are."""
    certain = {name: own[0] for name, own in transitions.items() if own and _is_unconditional(own[0])}
    for path in cyclic_components({name: [each.to] for name, each in certain.items()}):
        cleared = {slot for name in path for slot in _cleared(certain[name])}
        if not any(cleared.intersection(flow.states[name].collect) for name in path):
            yield path


def _possible_loops(flow: Flow, transitions: Mapping[str, Sequence[Transition]]) -> Iterable[Sequence[str]]:
    """A shortest loop for each set of states that may loop."""
    order = {name: index for index, name in enumerate(flow.states)}
    graph = {name: [each.to for each in own] for name, own in transitions.items()}
    for component in cyclic_components(graph):
        never_waiting = _never_waiting(flow, component, transitions)
        # Without the states that do wait, the others may not be connected.
        for remainder in cyclic_components({name: graph[name] for name in never_waiting}):
            first = min(remainder, key=order.__getitem__)
            yield shortest_cycle(first, {name: graph[name] for name in remainder})


def _never_waiting(
    flow: Flow, component: Collection[str], transitions: Mapping[str, Sequence[Transition]]
) -> Sequence[str]:
    """The states of a component that collect nothing which is cleared within it."""
    inside = {*component}
    cleared = {
        slot
        for name in component
        for each in transitions[name]
        if each.to in inside
        for slot in _cleared(each)
    }
    return [name for name in component if cleared.isdisjoint(flow.states[name].collect)]


def _format_path(path: Sequence[str]) -> str:
    names = [f'"{name}"' for name in path[:_MAX_SHOWN_STATES]]
    more = ["…"] if len(path) > _MAX_SHOWN_STATES else []
    return " → ".join([*names, *more, f'"{path[0]}"'])
