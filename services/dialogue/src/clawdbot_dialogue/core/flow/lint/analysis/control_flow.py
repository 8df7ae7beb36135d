"""The control-flow graph of a flow: the successors of each state, and reachability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawdbot_dialogue.core.flow.model import Flow, State, Transition


def successors(state: State) -> Iterator[str]:
    """The states that a state can lead to by itself; for a composite state, its default entries."""
    for transition in (*state.next, *state.errors, *state.events) if _is_leaf(state) else ():
        if transition.to:
            yield transition.to
    for fallback in (state.no_match, state.timeout) if _is_leaf(state) else ():
        if fallback and fallback.to:
            yield fallback.to
    if state.kind == "compound":
        yield state.initial
    elif state.kind == "parallel":
        yield from state.children


def own_transitions(state: State) -> Iterator[Transition]:
    """The transitions that a state declares itself, without those that it inherits."""
    return (each for each in (*state.next, *state.errors, *state.events) if each.source == state.name)


def _is_leaf(state: State) -> bool:
    """Whether it takes transitions itself; those of a composite state are inherited by its leaves."""
    return state.kind not in ("compound", "parallel")


def reachable(flow: Flow, starts: Iterable[str]) -> set[str]:
    """The states that can be active after some states, those included."""
    pending = list(starts)
    seen: set[str] = set()
    entered_by_descendant: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        state = flow.states[name]
        pending += successors(state)
        for ancestor in state.ancestors:
            # While a state is active its ancestors are, and so is every region of a parallel one.
            if flow.states[ancestor].kind == "parallel":
                pending.append(ancestor)
            else:
                entered_by_descendant.add(ancestor)  # which does not make its default entry reachable
    return seen | entered_by_descendant
