"""Resident memory of the whole suite in one process, when nobody talks to it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.bench.harness import Figure, conditions, resident_mb
from tests.support.processes import process

GOAL = 150.0
"""MiB."""
SETTLE = 3.0
"""Seconds after SERVING, for what starts in the background."""


async def measure() -> Figure:
    """Starts the suite, waits, and reads what the kernel says."""
    with tempfile.TemporaryDirectory() as folder:
        async with process("clawdbot_cli", "up", state=Path(folder)) as suite:
            await asyncio.sleep(SETTLE)
            ours = resident_mb(suite.pid)
    return Figure(
        name="idle_memory",
        ours=ours,
        unit="MiB",
        goal=f"< {GOAL:g}",
        holds=ours < GOAL,
        conditions=conditions(store="sqlite", model="echo"),
    )
