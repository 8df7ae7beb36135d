"""Calls between services of one process: over the in-process channel, held against TCP on the loopback.

Both reach the same wrapped handler of the same host in the same loop, as the suite's services would.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import grpc.aio
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit import logs
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import Load, drive
from tests.support.hosts import hosting

GOAL = 5.0
"""Times TCP's calls per second."""
CALLS = 4000
CALLERS = 16
REQUEST = tool_service_pb2.ListToolsRequest(plugin="weather", page_size=50)


async def measure() -> Figure:
    """Unary calls by turns over the two channels."""
    # One line for each call from outside would be measured too, and in-process calls write none.
    logs.configure(TelemetrySettings(log_level="warning"), Redactor())
    loads: dict[str, Load] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with hosting(Path(folder)) as hosted, hosted.insecure() as tcp:
            channels: dict[str, grpc.aio.Channel] = {"ours": hosted.host.channel(), "against": tcp}
            stubs = {side: tool_service_pb2_grpc.ToolServiceStub(each) for side, each in channels.items()}

            async def round_of(side: str) -> float:
                list_tools = stubs[side].ListTools
                loads[side] = await drive(
                    lambda: list_tools(REQUEST, timeout=30), calls=CALLS, callers=CALLERS
                )
                return loads[side].per_second

            ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
    return Figure(
        name="inprocess_channel",
        ours=ours,
        against=against,
        unit="calls/s",
        ratio=ours / against,
        goal=f">= {GOAL:g}",
        holds=ours / against >= GOAL,
        conditions=conditions(
            callers=CALLERS,
            against="TCP, both ends in the same loop",
            p50_ms=loads["ours"].p50_ms,
            p99_ms=loads["ours"].p99_ms,
            against_p50_ms=loads["against"].p50_ms,
            against_p99_ms=loads["against"].p99_ms,
        ),
    )
