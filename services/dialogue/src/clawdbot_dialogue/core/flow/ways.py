"""The ways between a flow's states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawdbot_dialogue.core.flow.model import Flow, State


def ways(state: State) -> Iterator[str]:
    """The states that one state can lead to by itself."""
    for transition in (*state.next, *state.errors, *(way for each in state.events.values() for way in each)):
        yield transition.to
    for aside in (state.no_match, state.timeout):
        if aside and aside.to:
            yield aside.to


def reachable(flow: Flow, starts: Iterable[str]) -> set[str]:
    """The states that can follow some states, those included."""
    waiting = list(starts)
    seen = set(waiting)
    while waiting:
        for name in ways(flow.states[waiting.pop()]):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen
