"""How much of a flow its conversations go through: the states and the ways between them, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path, read
from clawdbot_dialogue.core.flow.tree import written_at
from clawdbot_dialogue.flow_testing.runner import Outcome
from clawdbot_dialogue.flow_testing.transition_coverage import Way, all_ways


@dataclass(frozen=True, slots=True)
class Missing:
    """A state that was never entered, or a way that was never taken."""

    text: str
    """"details", "details → confirm", "details → human (on_error: any)"."""
    line: int
    """In the flow's file."""
    column: int = 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """What conversations went through of one flow."""

    flow: str
    file: str
    states: int
    """How many there are."""
    ways: int
    missing_states: Sequence[Missing]
    """In document order, as are the ways."""
    missing_ways: Sequence[Missing]

    @property
    def of_states(self) -> float:
        """Share of the states that were entered, in percent."""
        return 100 * (1 - len(self.missing_states) / self.states)

    @property
    def of_ways(self) -> float:
        """Share of the ways that were taken, in percent; 100 where there is none."""
        return 100 * (1 - len(self.missing_ways) / self.ways) if self.ways else 100.0


def coverage(flow: Flow, outcomes: Iterable[Outcome]) -> Coverage:
    """What all the conversations together went through of a flow."""
    entered: set[str] = set()
    taken: set[Way] = set()
    for outcome in outcomes:
        for name, state in outcome.entered:
            if name == flow.name and state in flow.states:
                # Whoever is in a state is in those that hold it.
                entered |= {state, *flow.states[state].ancestors}
        taken |= outcome.taken
    # Nobody is ever in a history state.
    states = [name for name, state in flow.states.items() if state.kind != "history"]
    ways = all_ways(flow)
    places = _Places(flow)
    missing = [places.missing(way, to) for way, to in ways.items() if way not in taken]
    return Coverage(
        flow=flow.name,
        file=flow.file,
        states=len(states),
        ways=len(ways),
        missing_states=tuple(Missing(name, places.line_of(name)) for name in states if name not in entered),
        missing_ways=tuple(sorted(missing, key=lambda each: (each.line, each.column))),
    )


class _Places:
    """Where the states and ways of a flow stand in its file."""

    def __init__(self, flow: Flow) -> None:
        self._states = flow.states
        # It was read from this source, so that it can be read again.
        self._document: Any = read(flow.source, Findings(flow.file))

    def line_of(self, state: str) -> int:
        """The line on which a state begins."""
        line: int = self._document.key_at(written_at(self._states, state)).line
        return line

    def missing(self, way: Way, to: str) -> Missing:
        """A way as it is written."""
        path: Path = written_at(self._states, way.state)
        notes = [str(way.place)]
        if isinstance(way.place, int):
            path = (*path, "next", way.place)
            written = self._value(path)
            keys = ("if", "on_error", "event") if isinstance(written, dict) else ()
            notes = [f"{key}: {written[key]}" for key in keys if key in written]
        else:
            path = (*path, way.place)
        text = " → ".join(filter(None, (way.state, to)))
        mark = self._document.at(path)
        return Missing(f"{text} ({', '.join(notes)})" if notes else text, mark.line, mark.column)

    def _value(self, path: Path) -> Any:
        data: Any = self._document.data
        for key in path:
            data = data[key] if not isinstance(data, str) else None  # the name of a state alone
        return data
