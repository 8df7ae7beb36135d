"""What a drawing of a flow shows, before any language: its states within one another, the ways between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from clawdbot_dialogue.core.flow.model import Flow, NoMatch, State, StateKind, Timeout, Transition

Line = Literal["solid", "dashed"]
LONGEST_GUARD: Final = 40
"""Characters of a guard on a way: a diagram is for the eye, the source has the rest."""
MARKS: Final = {"shallow": "H", "deep": "H*"}
UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True)
class Node:
    """A state."""

    id: str
    """Letters and digits: good in any language."""
    label: str
    kind: StateKind
    highlighted: bool
    start: str
    """Of one that holds others: the id of where it begins; empty for a parallel state."""
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from a state to another."""

    source: str
    target: str
    label: str
    line: Line
    """Dashed for what is not the ordinary course: silence, not understanding, failure."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A flow to be drawn."""

    title: str
    start: str
    nodes: tuple[Node, ...]
    """Those that no other holds, in document order."""
    edges: tuple[Edge, ...]


def picture(flow: Flow, highlight: frozenset[str]) -> Picture:
    """The picture of a flow, with some states highlighted.

    A way that states have from one that holds them is drawn once, from there. Actions that leave no state
    are no way.
    """
    ids = {name: f"s{number}" for number, name in enumerate(flow.states)}

    def node(state: State) -> Node:
        return Node(
            ids[state.name],
            MARKS[state.history] if state.history else state.name.rpartition(".")[2],
            state.kind,
            state.name in highlight,
            ids[state.initial] if state.kind == "compound" else "",
            tuple(node(flow.states[child]) for child in state.children),
        )

    top = tuple(node(state) for state in flow.states.values() if not state.parent)
    # A dict, since states share the ways of those that hold them, and an order is wanted.
    edges = dict.fromkeys(
        Edge(ids[source], ids[to], label, line)
        for state in flow.states.values()
        for source, to, label, line in _ways(flow, state)
    )
    return Picture(f"{flow.name} {flow.version}", ids[flow.initial], top, tuple(edges))


def _ways(flow: Flow, state: State) -> Iterator[tuple[str, str, str, Line]]:
    guarded = any(each.guard for each in state.next)
    for each in state.next:
        if each.to:
            yield each.source or state.name, each.to, _guard(each) or ("else" if guarded else ""), "solid"
    for each in state.events:
        if each.to:
            yield each.source or state.name, each.to, _joined(f"event: {each.event}", each), "solid"
    for each in state.errors:
        if each.to:
            yield (
                each.source or state.name,
                each.to,
                _joined(f"error: {each.on_error or 'any'}", each),
                "dashed",
            )
    if state.no_match and state.no_match.to:
        told = f"not understood ×{state.no_match.retries}"
        yield _owner(flow, state, state.no_match), state.no_match.to, told, "dashed"
    if state.timeout and state.timeout.to:
        told = f"timeout {_duration(state.timeout.after)}"
        yield _owner(flow, state, state.timeout), state.timeout.to, told, "dashed"


def _owner(flow: Flow, state: State, aside: NoMatch | Timeout) -> str:
    """The outermost state that has it: those within have the same one from there."""
    for name in state.ancestors:
        holder = flow.states[name]
        if aside in (holder.no_match, holder.timeout):
            return name
    return state.name


def _guard(way: Transition) -> str:
    text = " ".join(way.guard.text.split()) if way.guard else ""
    return text if len(text) <= LONGEST_GUARD else f"{text[: LONGEST_GUARD - 1]}…"


def _joined(what: str, way: Transition) -> str:
    return f"{what} [{_guard(way)}]" if way.guard else what


def _duration(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
