"""What the suite does for one turn, counted instead of timed: the same on any machine, however busy it is.

The suite serves as it does for the chain, in a process whose seams are counted (counted.py). One caller makes
one turn at a time. What the suite does without any caller is counted first, and taken off.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import grpc.aio
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub

from tests.bench.chain import booking, chat_turn
from tests.bench.counted import PORT_VARIABLE
from tests.bench.gateway_setup import backend, mock_backend
from tests.bench.harness import Figure, Stopwatch, conditions
from tests.support.ports import free_port
from tests.support.processes import process

Counts = Mapping[str, float]
Work = Callable[[], Awaitable[object]]
CHAT, BOOKING, CONFIRMATION = "chat", "booking", "its yes"
IDLE = "idle 1 s"
SESSIONS = 60
"""Of each kind, with a turn of its kind in each."""
IDLE_TIME = 2.0
"""Seconds in which nobody calls."""
SETTLE_TIME = 0.1
"""Seconds after which the last turn's work is done; its log line waits for 0.02."""
MEANINGS = {
    "tasks": "asyncio tasks",
    "timers": "call_later and call_at",
    "callbacks": "call_soon; each step of a task is one",
    "wake-ups by threads": "call_soon_threadsafe: SQLite's answers, and what the engine has received",
    "jobs for threads": "put into a queue that a thread reads, such as SQLite's",
    "SQL statements": "without those that begin and end a transaction",
    "transactions": "",
    "in-process calls": "to the gateway and the plugins",
    "in-process messages": "requests and responses that cross as bytes",
    "messages encoded": "by protobuf, in the whole process",
    "messages decoded": "",
    "engine writes": "messages for the caller's connection",
    "log lines": "",
    "log writes": "",
    "context switches": "of all threads; this one depends on the machine",
}
"""What is counted, and what it is."""


class CountedSuite:
    """A running suite whose work is counted."""

    def __init__(self, stub: DialogueServiceStub, port: int) -> None:
        self._stub = stub
        self._port = port

    async def work(self) -> Mapping[str, Counts]:
        """The work of one turn of each kind, and of an idle second."""
        for flow in ("chat", "book_table"):
            await self._sessions(flow)  # What is made at first use is made now.
        in_idle_time, seconds = await self._counts_during([lambda: asyncio.sleep(IDLE_TIME)])
        idle = {name: in_idle_time[name] / seconds for name in MEANINGS}
        chats, bookings = await self._sessions("chat"), await self._sessions("book_table")
        said = [booking() for _ in bookings]
        return {
            CHAT: await self._of_a_turn([partial(chat_turn, self._stub, each) for each in chats], idle),
            BOOKING: await self._of_a_turn(
                [self._saying(each, wanted) for each, (wanted, _) in zip(bookings, said, strict=True)], idle
            ),
            CONFIRMATION: await self._of_a_turn([self._saying(each, "yes") for each in bookings], idle),
            IDLE: idle,
        }

    def _saying(self, session: str, text: str) -> Work:
        return lambda: self._stub.SendTurn(pb.SendTurnRequest(session_id=session, text=text))

    async def _of_a_turn(self, turns: Sequence[Work], idle: Counts) -> Counts:
        """The work of one of them, less what the suite does anyway in that time."""
        counts, seconds = await self._counts_during(turns)
        return {name: max(0.0, counts[name] - seconds * idle[name]) / len(turns) for name in MEANINGS}

    async def _counts_during(self, work: Sequence[Work]) -> tuple[Counts, float]:
        """What the suite does meanwhile, and the seconds that it takes."""
        watch, before = Stopwatch(), await self._counts()
        for each in work:
            await each()
        await asyncio.sleep(SETTLE_TIME)
        after = await self._counts()
        return {name: after.get(name, 0) - before.get(name, 0) for name in MEANINGS}, watch.seconds()

    async def _sessions(self, flow: str) -> list[str]:
        request = pb.CreateSessionRequest(flow=flow)
        return [(await self._stub.CreateSession(request)).session.id for _ in range(SESSIONS)]

    async def _counts(self) -> Counts:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        counts: Counts = json.loads(await reader.read())
        writer.close()
        await writer.wait_closed()
        return counts


async def measure() -> Figure:
    """Counts the work of each kind of turn."""
    async with counted_suite() as suite:
        columns = await suite.work()
    return Figure(
        name="turn_work",
        ours=columns[CHAT]["callbacks"],
        unit="callbacks/turn",
        conditions=conditions(turns=SESSIONS, store="sqlite", engine="native", counts=columns),
        report=_table(columns),
    )


@asynccontextmanager
async def counted_suite() -> AsyncIterator[CountedSuite]:
    """The suite on the native engine and SQLite, before a mock that streams eight pieces."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await stack.enter_async_context(mock_backend("tests.bench.eight_pieces"))
        port = free_port()
        environment = {
            "CLAWDBOT_MODEL": json.dumps(backend(url)),
            "CLAWDBOT_SERVER__ENGINE": "native",
            PORT_VARIABLE: str(port),
        }
        suite = await stack.enter_async_context(
            process("tests.bench.counted", "clawdbot_cli", "up", state=folder, environment=environment)
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(suite.address))
        yield CountedSuite(DialogueServiceStub(channel), port)


def _table(columns: Mapping[str, Counts]) -> str:
    width = max(map(len, MEANINGS))
    lines = ["".join([" " * width, *(f"{name:>10}" for name in columns)])]
    for name, meaning in MEANINGS.items():
        numbers = "".join(f"{counts[name]:>10.1f}" for counts in columns.values())
        lines.append(f"{name:<{width}}{numbers}  {meaning}".rstrip())
    return "\n".join(lines)
