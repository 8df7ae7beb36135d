"""Coverage: the share of a flow's states and edges that its conversations covered, and what is uncovered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path, parse_yaml
from clawdbot_dialogue.core.flow.tree import document_path
from clawdbot_dialogue.flow_testing.runner import ConversationResult
from clawdbot_dialogue.flow_testing.transition_coverage import Edge, all_edges


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A state that was never entered, or an edge that was never taken."""

    text: str
    """"details", "details → confirm", "details → human (on_error: any)"."""
    line: int
    """In the flow's file."""
    column: int = 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """What conversations covered of one flow."""

    flow: str
    file: str
    states: int
    """The number of states."""
    edges: int
    """The number of edges."""
    uncovered_states: Sequence[Uncovered]
    """In document order, as are the edges."""
    uncovered_edges: Sequence[Uncovered]

    @property
    def state_percent(self) -> float:
        """The share of states that were entered, in percent."""
        return 100 * (1 - len(self.uncovered_states) / self.states)

    @property
    def edge_percent(self) -> float:
        """The share of edges that were taken, in percent; 100 for a flow without any."""
        return 100 * (1 - len(self.uncovered_edges) / self.edges) if self.edges else 100.0


def measure_coverage(flow: Flow, results: Iterable[ConversationResult]) -> Coverage:
    """What all conversations together covered of a flow."""
    entered: set[str] = set()
    taken: set[Edge] = set()
    for result in results:
        for name, state in result.entered:
            if name == flow.name and state in flow.states:
                # While a state is active, its ancestors are.
                entered |= {state, *flow.states[state].ancestors}
        taken |= result.taken
    # A history state is never active itself.
    states = [name for name, state in flow.states.items() if state.kind != "history"]
    edges = all_edges(flow)
    locations = _SourceLocations(flow)
    uncovered_edges = [locations.edge(edge, to) for edge, to in edges.items() if edge not in taken]
    return Coverage(
        flow=flow.name,
        file=flow.file,
        states=len(states),
        edges=len(edges),
        uncovered_states=tuple(
            Uncovered(name, locations.line_of(name)) for name in states if name not in entered
        ),
        uncovered_edges=tuple(sorted(uncovered_edges, key=lambda each: (each.line, each.column))),
    )


class _SourceLocations:
    """Where the states and edges of a flow are in its file."""

    def __init__(self, flow: Flow) -> None:
        self._states = flow.states
        # The flow was compiled from this source, so parsing it cannot fail.
        self._document: Any = parse_yaml(flow.source, DiagnosticCollector(flow.file))

    def line_of(self, state: str) -> int:
        """The line on which a state begins."""
        line: int = self._document.key_at(document_path(self._states, state)).line
        return line

    def edge(self, edge: Edge, to: str) -> Uncovered:
        """An uncovered edge as it is written."""
        path: Path = document_path(self._states, edge.state)
        notes = [str(edge.key)]
        if isinstance(edge.key, int):
            path = (*path, "next", edge.key)
            written = self._value(path)
            keys = ("if", "on_error", "event") if isinstance(written, dict) else ()
            notes = [f"{key}: {written[key]}" for key in keys if key in written]
        else:
            path = (*path, edge.key)
        text = " → ".join(filter(None, (edge.state, to)))
        mark = self._document.at(path)
        return Uncovered(f"{text} ({', '.join(notes)})" if notes else text, mark.line, mark.column)

    def _value(self, path: Path) -> Any:
        data: Any = self._document.data
        for key in path:
            data = data[key] if not isinstance(data, str) else None  # a state's name instead of a list
        return data
