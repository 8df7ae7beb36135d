"""From the process's start to SERVING: what a rollout waits for."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.bench.harness import ROUNDS, Figure, Stopwatch, conditions
from tests.support.processes import process

GOAL = 2.0
"""Seconds."""


async def measure() -> Figure:
    """Starts the suite on a fresh state directory, again and again."""
    taken = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            watch = Stopwatch()
            async with process("clawdbot_cli", "up", state=Path(folder)):
                taken.append(watch.seconds())
    ours = statistics.median(taken)
    return Figure(
        name="start",
        ours=ours,
        unit="s to SERVING",
        goal=f"< {GOAL:g}",
        holds=ours < GOAL,
        conditions=conditions(store="sqlite", model="echo"),
    )
