"""The whole chain: client → dialogue → gateway → mock, with durable turns, against the bare relay.

The suite runs in one process on one CPU, with SQLite; the load and the mock have the other. The relay is
grpc.aio's, whichever engine serves the suite, so that the figures of both can be compared.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import grpc.aio
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_servicekit.server_engine import GRPCIO, NATIVE

from tests.bench.eight_pieces import PIECES
from tests.bench.gateway_setup import REQUEST, backend, bare_relay, mock_backend
from tests.bench.harness import (
    LOAD_CPU,
    SERVER_CPU,
    Figure,
    Skipped,
    Stopwatch,
    bind,
    conditions,
    cpu_seconds,
    interleave,
    placement,
)
from tests.bench.load import drive, quantiles
from tests.support.processes import process

CALLERS = 64
CONVERSATIONS = 192
"""In one round."""
TURNS = 10
"""Of a conversation in the chat flow; each is sent what was said before."""
RELAYED = 2000
"""Requests to the relay in one round."""
MAX_P99_MS = 300.0
DAYS = 250
"""On which tables are booked in turn; the demo's restaurant soon has none left for one evening."""
BOOKINGS = count()
Conversation = Callable[[DialogueServiceStub, list[float]], Awaitable[None]]
"""Holds one conversation; adds the seconds of each of its turns."""


def of(name: str) -> Callable[[], Awaitable[Figure]]:
    """The measurement of one row."""
    return lambda: measure(name)


async def chat(stub: DialogueServiceStub, times: list[float]) -> None:
    """A conversation with the model."""
    session = (await stub.CreateSession(pb.CreateSessionRequest(flow="chat"))).session
    for _ in range(TURNS):
        watch = Stopwatch()
        await chat_turn(stub, session.id)
        times.append(watch.seconds())


async def chat_turn(stub: DialogueServiceStub, session_id: str) -> None:
    """One turn, whose reply is streamed."""
    request = pb.StreamTurnRequest(session_id=session_id, text="What can you do for me?")
    pieces = 0
    async for event in stub.StreamTurn(request):
        pieces += len(event.text_delta.text) // len("word ")
    if pieces != PIECES:
        raise AssertionError(f"a reply had {pieces} pieces")


async def book(stub: DialogueServiceStub, times: list[float]) -> None:
    """A booking by rules and a tool; no model is asked."""
    session = (await stub.CreateSession(pb.CreateSessionRequest(flow="book_table"))).session
    for text in booking():
        watch = Stopwatch()
        turn = (await stub.SendTurn(pb.SendTurnRequest(session_id=session.id, text=text))).turn
        times.append(watch.seconds())
    if "Booked" not in turn.replies[-1].parts[0].text:
        raise AssertionError(f"not booked: {turn.replies}")


def booking() -> tuple[str, str]:
    """What is said to book a table that is still free."""
    number = next(BOOKINGS)
    day = datetime.now(UTC).date() + timedelta(days=1 + number % DAYS)
    evening = 17 + number // DAYS % 5
    return f"A table for 2 on {day:%d %B %Y} at {evening}:00, please. My name is Ann.", "yes"


ROWS: dict[str, tuple[str, Conversation, float]] = {
    "chain": (NATIVE, chat, 0.5),
    "chain_grpcio": (GRPCIO, chat, 0.25),
    "chain_book": (NATIVE, book, 0.5),
}
"""Name → engine, conversation, and the goal: turns for each request of the bare relay."""
PATHS = {
    chat: "client → dialogue → gateway → mock model, which streams eight pieces at once, and back",
    book: "client → dialogue → rules → a tool that books, and back; no model",
}
"""Conversation → where a turn goes. The suite is one process."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What is measured: the suite, and the relay beside it."""

    dialogue: DialogueServiceStub
    relay: ModelGatewayServiceStub
    pid: int
    """Of the suite."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of conversations came to."""

    times: Sequence[float]
    """Seconds of each turn."""
    per_second: float
    """Turns."""
    cpu: float
    """Seconds of CPU time that the suite took."""


async def one_round(conversation: Conversation, served: Chain) -> Round:
    """Holds the conversations of one round."""
    times: list[float] = []
    before = cpu_seconds(served.pid)
    load = await drive(lambda: conversation(served.dialogue, times), calls=CONVERSATIONS, callers=CALLERS)
    per_second = load.per_second * len(times) / CONVERSATIONS
    return Round(times, per_second, cpu_seconds(served.pid) - before)


async def measure(name: str) -> Figure:
    """Durable turns per second."""
    engine, conversation, goal = ROWS[name]
    if engine == NATIVE and find_spec("pygrpc_native") is None:
        raise Skipped("the native engine is not installed here; chain_grpcio is the same without it")
    rounds: list[Round] = []
    async with chain(engine) as served:

        async def ours() -> float:
            rounds.append(await one_round(conversation, served))
            return rounds[-1].per_second

        async def against() -> float:
            load = await drive(lambda: served.relay.Generate(REQUEST), calls=RELAYED, callers=CALLERS)
            return load.per_second

        turns, requests = await interleave(ours, against)
    times = [each for past in rounds[1:] for each in past.times]
    p50, p99 = (seconds * 1000 for seconds in quantiles(times))
    cpu_ms = 1000 * sum(past.cpu for past in rounds[1:]) / len(times)
    return Figure(
        name=name,
        ours=turns,
        against=requests,
        unit="turns/s, requests/s",
        ratio=turns / requests,
        goal=f">= {goal:g}, p99 < {MAX_P99_MS:g} ms",
        holds=turns / requests >= goal and p99 < MAX_P99_MS,
        conditions=conditions(
            callers=CALLERS,
            engine=engine,
            store="sqlite",
            turns_in_a_conversation=len(rounds[0].times) // CONVERSATIONS,
            p50_ms=p50,
            p99_ms=p99,
            cpu_ms_of_a_turn=cpu_ms,
            against="Generate through a bare grpc.aio + aiohttp relay",
        ),
        report=explanation(name, turns, requests, cpu_ms, (p50, p99)),
    )


def explanation(
    name: str, turns: float, requests: float, cpu_ms: float, quantiles_ms: tuple[float, float]
) -> str:
    """What the row says, in plain words."""
    engine, conversation, _ = ROWS[name]
    p50, p99 = quantiles_ms
    waiting = CALLERS - 1
    meanings = {
        f"{turns:,.0f} turns/s": f"{CALLERS} callers, each with its next turn when its last has ended",
        f"{1000 / cpu_ms:,.0f} turns/s per core": f"a turn takes {cpu_ms:.2f} ms of the suite's CPU time",
        f"p50 {p50:,.0f}, p99 {p99:,.0f} ms": f"from a turn to its end, mostly the wait for {waiting} others",
        f"{requests:,.0f} requests/s": "by the relay beside it: grpc.aio and aiohttp, nothing stored",
        f"ratio {turns / requests:.2f}": f"a turn takes as long as {requests / turns:.1f} relayed requests",
        "durable": "on the disk: the input before the turn runs, all else before the end is sent",
    }
    lines = [f"  {figure:<22}{meaning}" for figure, meaning in meanings.items()]
    return "\n".join((f"{name}: {PATHS[conversation]}", *lines, f"  {placement()} Engine: {engine}."))


@asynccontextmanager
async def chain(engine: str) -> AsyncIterator[Chain]:
    """The suite on an engine, and the bare relay, before the same mock."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await stack.enter_async_context(mock_backend("tests.bench.eight_pieces"))
        relay = await stack.enter_async_context(bare_relay(url))
        environment = {
            "CLAWDBOT_MODEL": json.dumps(backend(url)),
            "CLAWDBOT_SERVER__ENGINE": engine,
        }
        suite = await stack.enter_async_context(
            process("clawdbot_cli", "up", state=folder, environment=environment)
        )
        bind(suite.pid, SERVER_CPU)
        bind(os.getpid(), LOAD_CPU)
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address))
            for address in (suite.address, relay.address)
        ]
        yield Chain(DialogueServiceStub(channels[0]), ModelGatewayServiceStub(channels[1]), suite.pid)
