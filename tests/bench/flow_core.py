"""Steps of the pure machine: book_table's happy path, from text to effects, on one core.

A step is one event, understanding included: the opening, a message, a tool's answer.
"""

from __future__ import annotations

import statistics
from datetime import datetime

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry, shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.machine.effects import CallTool
from clawdbot_dialogue.core.machine.events import Event, Started, ToolReturned, UserSaid
from clawdbot_dialogue.core.machine.step import begin, step

from tests.bench.harness import ROUNDS, Figure, Stopwatch, conditions

GOAL = 50_000
CONVERSATIONS = 1_000
NOW = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - a person's own time
SAID = ("4", "tomorrow", "7pm", "yes")


async def measure() -> Figure:
    """Whole conversations, one after the other."""
    flows = FlowRegistry()
    for file, source in shipped_flows():
        flows.add(load_flow(source, file))
    rounds = [_round(flows) for _ in range(ROUNDS + 1)][1:]
    ours = statistics.median(steps for steps, _ in rounds)
    return Figure(
        name="flow_core",
        ours=ours,
        unit="steps/s",
        goal=f">= {GOAL:,}",
        holds=ours >= GOAL,
        conditions=conditions(
            said=SAID, transitions_per_second=statistics.median(moves for _, moves in rounds)
        ),
    )


def _round(flows: FlowRegistry) -> tuple[float, float]:
    """Steps a second, and states entered a second."""
    flow, steps, moves = flows.get("book_table"), 0, 0
    watch = Stopwatch()
    for _ in range(CONVERSATIONS):
        snapshot = begin(flow, {})
        events: list[Event] = [Started(), *(UserSaid(text, NOW) for text in SAID)]
        for event in events:
            taken = step(flows.get, snapshot, event)
            snapshot = taken.snapshot
            moves += len(taken.trace)
        call = next(effect for effect in taken.effects if isinstance(effect, CallTool))
        taken = step(
            flows.get, snapshot, ToolReturned(call.call_id, {"ok": True, "ref": "T-1"}, is_error=False)
        )
        if taken.snapshot.status != "ended":
            raise AssertionError(f"the booking did not end: {taken.effects}")
        steps += len(events) + 1
    seconds = watch.seconds()
    return steps / seconds, moves / seconds
