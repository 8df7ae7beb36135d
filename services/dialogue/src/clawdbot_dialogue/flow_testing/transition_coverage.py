"""The edges of a flow, and those that a step of the machine took, according to its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.machine.snapshot import FlowLookup
from clawdbot_dialogue.core.machine.step_result import GuardEvaluated, TraceEvent

FALLBACKS = ("no_match", "timeout")
"""Edges that are not among the `next` of a state."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition or fallback, identified by the state that declares it."""

    flow: str
    state: str
    key: int | str
    """Its index in `next`, from 0; or "no_match" or "timeout"."""


def all_edges(flow: Flow) -> Mapping[Edge, str]:
    """Every edge of a flow, and the state that it leads to; empty for a targetless transition."""
    found: dict[Edge, str] = {}
    for state in flow.states.values():
        for each in (*state.next, *state.errors, *state.events):
            # Child states inherit the edges of their ancestors.
            found.setdefault(Edge(flow.name, each.source, each.number), each.to)
        for key in FALLBACKS:
            fallback = getattr(state, key)
            if fallback and fallback.to:
                found.setdefault(Edge(flow.name, _declaring_state(flow, state, key), key), fallback.to)
    return found


def edges_taken(flows: FlowLookup, trace: Iterable[TraceEvent]) -> Iterator[Edge]:
    """The edges that a step took.

    Args:
        flows: Finds the flows that the trace names.
        trace: The trace of the step.
    """
    for each in trace:
        if isinstance(each, GuardEvaluated):
            if each.passed:
                yield Edge(each.flow, each.owner, each.number)
        elif each.cause in FALLBACKS:
            flow = flows(each.flow)
            state = _declaring_state(flow, flow.states[each.source], each.cause)
            yield Edge(flow.name, state, each.cause)


def _declaring_state(flow: Flow, state: State, key: str) -> str:
    """The state that declares a fallback: the outermost one that has the same one."""
    fallback = getattr(state, key)
    ancestors = (flow.states[name] for name in state.ancestors)
    return next((each.name for each in ancestors if getattr(each, key) is fallback), state.name)
