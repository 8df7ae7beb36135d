"""Which ways between states there are, and which of them a step of the machine went, read from its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.machine.snapshot import FlowLookup
from clawdbot_dialogue.core.machine.step_result import GuardEvaluated, TraceEvent

ASIDES = ("no_match", "timeout")
"""Ways out of a state that are not among its `next`."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way out of a state, named by the state that it is written at."""

    flow: str
    state: str
    place: int | str
    """Its position in `next`, from 0; or "no_match" or "timeout"."""


def all_ways(flow: Flow) -> Mapping[Way, str]:
    """Every way out of a state, and the state that it leads to; empty for one that stays."""
    found: dict[Way, str] = {}
    for state in flow.states.values():
        for each in (*state.next, *state.errors, *state.events):
            # States within others have the ways of those too.
            found.setdefault(Way(flow.name, each.source, each.number), each.to)
        for place in ASIDES:
            aside = getattr(state, place)
            if aside and aside.to:
                found.setdefault(Way(flow.name, _writer(flow, state, place), place), aside.to)
    return found


def ways_taken(flows: FlowLookup, trace: Iterable[TraceEvent]) -> Iterator[Way]:
    """The ways that were gone in a step.

    Args:
        flows: Finds the flows that the trace names.
        trace: The step's.
    """
    for each in trace:
        if isinstance(each, GuardEvaluated):
            if each.passed:
                yield Way(each.flow, each.owner, each.number)
        elif each.cause in ASIDES:
            flow = flows(each.flow)
            yield Way(flow.name, _writer(flow, flow.states[each.source], each.cause), each.cause)


def _writer(flow: Flow, state: State, place: str) -> str:
    """The state at which an aside is written: the outermost that has the same one."""
    aside = getattr(state, place)
    holders = (flow.states[name] for name in state.ancestors)
    return next((each.name for each in holders if getattr(each, place) is aside), state.name)
