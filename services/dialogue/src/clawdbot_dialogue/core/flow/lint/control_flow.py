"""The ways between a flow's states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawdbot_dialogue.core.flow.model import Flow, State


def ways(state: State) -> Iterator[str]:
    """The states that one state can lead to by itself; one that holds others, to where it begins."""
    for transition in (*state.next, *state.errors, *state.events) if _moves(state) else ():
        if transition.to:
            yield transition.to
    for aside in (state.no_match, state.timeout) if _moves(state) else ():
        if aside and aside.to:
            yield aside.to
    if state.kind == "compound":
        yield state.initial
    elif state.kind == "parallel":
        yield from state.children


def _moves(state: State) -> bool:
    """What a state has that holds others, those within it have: it is theirs to take."""
    return state.kind not in ("compound", "parallel")


def reachable(flow: Flow, starts: Iterable[str]) -> set[str]:
    """The states that can follow some states, those included."""
    waiting = list(starts)
    seen: set[str] = set()
    around: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        state = flow.states[name]
        waiting += ways(state)
        for holder in state.ancestors:
            # Whoever is in a state is in those that hold it, and in every region of them.
            if flow.states[holder].kind == "parallel":
                waiting.append(holder)
            else:
                around.add(holder)  # which does not say that it is entered where it begins
    return seen | around
