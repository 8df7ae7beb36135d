"""Finds states that lead to one another without waiting for the person: the machine would stop them.

What guards say is not known, so a way round that has one is a warning; one that has none is an error. A state
that collects waits the first time only, unless its slots are forgotten on the way round.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.lint.cycles import circle_from, circles
from clawdbot_dialogue.core.flow.lint.guards import holds_always
from clawdbot_dialogue.core.flow.model import Clear, Flow, State, Transition
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.tree import written_at

_PASSING = ("say", "choice", "call", "generate", "collect", "end")
"""Kinds of state that may go on by themselves; an end within another state has that one's ways."""
_SHOWN = 6
"""States of a way round that a message names."""
_HINT = "Wait for the person on the way: collect what is cleared on it, or use `wait: true`."


def loops(flow: Flow, document: Document, findings: Findings) -> None:
    """Adds an error or a warning for each way round."""
    moves = {name: _moves(flow, state) for name, state in flow.states.items()}
    stuck: set[str] = set()
    for path in _for_ever(flow, moves):
        stuck |= {*path}
        message = f"{_shown(path)} goes round for ever, waiting for nobody."
        findings.error("loop", message, document.key_at(written_at(flow.states, path[0])), _HINT)
    for path in _perhaps(flow, moves):
        if stuck.isdisjoint(path):
            message = f"{_shown(path)} may go round without waiting for anybody."
            findings.warning("loop", message, document.key_at(written_at(flow.states, path[0])), _HINT)


def _moves(flow: Flow, state: State) -> Sequence[Transition]:
    """The transitions that a state may take with nothing said, in order."""
    # What ends a region goes on once all of them have ended, and others may wait.
    waits = state.wait or state.joins or any(flow.slots[each].asked_only for each in state.collect)
    if state.kind not in _PASSING or waits:
        return ()
    ways: list[Transition] = []
    for way in state.next:
        ways.append(way)
        if _always(way):
            break
    return [_followed(flow, way) for way in (*ways, *state.errors) if way.to]


def _followed(flow: Flow, way: Transition) -> Transition:
    """The transition, to the state that has the work once it is taken."""
    name = way.to
    while flow.states[name].kind == "compound":
        name = flow.states[name].initial
    return way if name == way.to else dataclasses.replace(way, to=name)


def _cleared(way: Transition) -> Iterator[str]:
    return (action.slot for action in way.actions if isinstance(action, Clear))


def _always(way: Transition) -> bool:
    return way.on_error is None and (way.guard is None or holds_always(way.guard.text))


def _for_ever(flow: Flow, moves: Mapping[str, Sequence[Transition]]) -> Iterable[Sequence[str]]:
    """The ways round on which each state goes on to the next whatever guards say."""
    sure = {name: ways[0] for name, ways in moves.items() if ways and _always(ways[0])}
    for path in circles({name: [way.to] for name, way in sure.items()}):
        cleared = {slot for name in path for slot in _cleared(sure[name])}
        if not any(cleared.intersection(flow.states[name].collect) for name in path):
            yield path


def _perhaps(flow: Flow, moves: Mapping[str, Sequence[Transition]]) -> Iterable[Sequence[str]]:
    """A way round for each set of states that may lead round."""
    place = {name: at for at, name in enumerate(flow.states)}
    graph = {name: [way.to for way in ways] for name, ways in moves.items()}
    for group in circles(graph):
        passing = _without_waiting(flow, group, moves)
        # Without the states that wait after all, the others may be apart.
        for left in circles({name: graph[name] for name in passing}):
            first = min(left, key=place.__getitem__)
            yield circle_from(first, {name: graph[name] for name in left})


def _without_waiting(
    flow: Flow, group: Collection[str], moves: Mapping[str, Sequence[Transition]]
) -> Sequence[str]:
    """Those states of a group that collect nothing which is forgotten within it."""
    inside = {*group}
    cleared = {slot for name in group for way in moves[name] if way.to in inside for slot in _cleared(way)}
    return [name for name in group if cleared.isdisjoint(flow.states[name].collect)]


def _shown(path: Sequence[str]) -> str:
    names = [f'"{name}"' for name in path[:_SHOWN]]
    more = ["…"] if len(path) > _SHOWN else []
    return " → ".join([*names, *more, f'"{path[0]}"'])
