"""A flow's diagram, independent of any language: its states as nested nodes, its transitions as edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from clawdbot_dialogue.core.flow.model import Flow, NoMatch, State, StateKind, Timeout, Transition

LineStyle = Literal["solid", "dashed"]
MAX_GUARD_LENGTH: Final = 40
"""Characters of a guard on an edge: a diagram gives an overview, the source has the details."""
HISTORY_LABELS: Final = {"shallow": "H", "deep": "H*"}
DURATION_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True)
class Node:
    """A state."""

    id: str
    """Letters and digits: valid in every language."""
    label: str
    kind: StateKind
    highlighted: bool
    start: str
    """For a compound state: the id of its initial state; empty for a parallel one."""
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition."""

    source: str
    target: str
    label: str
    line: LineStyle
    """Dashed for silence, messages that are not understood, and errors."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """The diagram of a flow."""

    title: str
    start: str
    nodes: tuple[Node, ...]
    """The top-level ones, in document order."""
    edges: tuple[Edge, ...]


def build_diagram(flow: Flow, highlight: frozenset[str]) -> Diagram:
    """The diagram of a flow, with some states highlighted.

    A transition that states inherit is drawn once, from the state that declares it. A targetless transition
    is not drawn.
    """
    ids = {name: f"s{number}" for number, name in enumerate(flow.states)}

    def node(state: State) -> Node:
        return Node(
            ids[state.name],
            HISTORY_LABELS[state.history] if state.history else state.name.rpartition(".")[2],
            state.kind,
            state.name in highlight,
            ids[state.initial] if state.kind == "compound" else "",
            tuple(node(flow.states[child]) for child in state.children),
        )

    top = tuple(node(state) for state in flow.states.values() if not state.parent)
    # A dict, because inherited transitions appear several times, and the order matters.
    edges = dict.fromkeys(
        Edge(ids[source], ids[to], label, line)
        for state in flow.states.values()
        for source, to, label, line in _edges(flow, state)
    )
    return Diagram(f"{flow.name} {flow.version}", ids[flow.initial], top, tuple(edges))


def _edges(flow: Flow, state: State) -> Iterator[tuple[str, str, str, LineStyle]]:
    has_guards = any(each.guard for each in state.next)
    for each in state.next:
        if each.to:
            label = _guard_label(each) or ("else" if has_guards else "")
            yield each.source or state.name, each.to, label, "solid"
    for each in state.events:
        if each.to:
            yield each.source or state.name, each.to, _with_guard(f"event: {each.event}", each), "solid"
    for each in state.errors:
        if each.to:
            label = _with_guard(f"error: {each.on_error or 'any'}", each)
            yield each.source or state.name, each.to, label, "dashed"
    if state.no_match and state.no_match.to:
        label = f"not understood ×{state.no_match.retries}"
        yield _owner(flow, state, state.no_match), state.no_match.to, label, "dashed"
    if state.timeout and state.timeout.to:
        label = f"timeout {_duration(state.timeout.after)}"
        yield _owner(flow, state, state.timeout), state.timeout.to, label, "dashed"


def _owner(flow: Flow, state: State, fallback: NoMatch | Timeout) -> str:
    """The outermost state that has it: its descendants inherit it."""
    for name in state.ancestors:
        ancestor = flow.states[name]
        if fallback in (ancestor.no_match, ancestor.timeout):
            return name
    return state.name


def _guard_label(transition: Transition) -> str:
    text = " ".join(transition.guard.text.split()) if transition.guard else ""
    return text if len(text) <= MAX_GUARD_LENGTH else f"{text[: MAX_GUARD_LENGTH - 1]}…"


def _with_guard(label: str, transition: Transition) -> str:
    return f"{label} [{_guard_label(transition)}]" if transition.guard else label


def _duration(seconds: float) -> str:
    for size, unit in DURATION_UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
