"""Turns of one booking on the in-memory store, compared with LangGraph on its in-memory checkpointer.

Ours is the turn engine in this process: inbox, lease, journal, machine with command rules, events,
transcript, explanation, commit. The peer is a graph with the same questions and a parser of three regular
expressions, in its own process on the same CPU. Neither uses a network, a model or a disk, and both
collect garbage as the services do.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry, shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.session_admin import CreateSession, SessionAdmin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore
from clawdbot_servicekit import logs
from clawdbot_servicekit.process import GC_THRESHOLDS
from clawdbot_servicekit.redaction import Redactor
from clawdbot_servicekit.settings.shared import TelemetrySettings

from tests.bench.harness import SERVER_CPU, Figure, Stopwatch, bind, conditions, interleave
from tests.support.engine_cluster import TENANT, reply_texts, turn_request
from tests.support.scripted_peers import OwnerRegistry, ScriptedGateway, ScriptedHooks, ScriptedTools

GOAL = 10.0
CONVERSATIONS = 150
SAID = ("4", "tomorrow", "7pm", "yes")
PEER = "langgraph==1.2.24"
ENVIRONMENT = Path("build") / "peers" / "langgraph"
SCRIPT = Path(__file__).parent / "peers" / "langgraph_booking.py"


async def measure() -> Figure:
    """Measures whole conversations, in turns a second."""
    logs.configure(TelemetrySettings(log_level="warning"), Redactor())
    bind(os.getpid(), SERVER_CPU)
    with _peer() as peer:
        async with _engine() as (sessions, engine):
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            ours, against = await interleave(lambda: _ours(sessions, engine), lambda: _theirs(peer))
    return Figure(
        name="turn_memory",
        ours=ours,
        against=against,
        unit="turns/s",
        ratio=ours / against,
        goal=f">= {GOAL:g}",
        holds=ours / against >= GOAL,
        conditions=conditions(against=PEER, said=SAID),
    )


@asynccontextmanager
async def _engine() -> AsyncIterator[tuple[SessionAdmin, TurnEngine]]:
    """Runs the engine on the in-memory store, with the shipped flows and a tool that books at once."""
    store, flows, tools = InMemorySessionStore(), FlowRegistry(), ScriptedTools()
    for file, source in shipped_flows():
        flows.add(load_flow(source, file))
    tools.add("tables.reserve", {"ok": True, "ref": "T-1"}, "once")
    deployments = Deployments(store, flows, time.time)
    engine = TurnEngine(
        store=store,
        flows=flows.get,
        gateway=ScriptedGateway(),
        tools=tools,
        hooks=ScriptedHooks(),
        lease_owners=OwnerRegistry().register(),
        limits=TurnLimits(),
        clock=time.time,
        load_flows=deployments.catch_up,
    )
    await engine.start()
    try:
        yield (
            SessionAdmin(
                store=store,
                flows=flows,
                engine=engine,
                clock=time.time,
                time_zone=None,
                deployments=deployments,
            ),
            engine,
        )
    finally:
        await engine.stop()


async def _ours(sessions: SessionAdmin, engine: TurnEngine) -> float:
    watch = Stopwatch()
    for _ in range(CONVERSATIONS):
        session, _opening = await sessions.create(CreateSession(TENANT, "book_table"))
        for text in SAID:
            result = await engine.send(turn_request(session, text))
        if reply_texts(result.turn) != ["Booked. Reference T-1."]:
            raise AssertionError(f"the booking did not end: {reply_texts(result.turn)}")
    return CONVERSATIONS * (len(SAID) + 1) / watch.seconds()


def _peer() -> subprocess.Popen[str]:
    """Starts the peer, and installs it on the first run."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", str(ENVIRONMENT)], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), PEER]
        subprocess.run(install, check=True)
    process = subprocess.Popen(
        [str(python), str(SCRIPT), *map(str, GC_THRESHOLDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _line(process)
    return process


async def _theirs(process: subprocess.Popen[str]) -> float:
    if process.stdin is None:
        raise AssertionError("the peer has no input")
    process.stdin.write(f"{CONVERSATIONS}\n")
    process.stdin.flush()
    return float(await asyncio.to_thread(_line, process))


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise AssertionError(f"the peer ended with {process.wait()}")
    return line
