"""Two backends behind one alias fail in turn, in every way, while callers call without a pause."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import ListBackendsRequest

from tests.support.chaos_backend import BUSY, CUT, DEAD, SILENT, SLOW, ChaosBackend, reply_to
from tests.support.gateway_service import Client
from tests.support.generate_requests import asks
from tests.support.processes import ServiceProcess, process

pytestmark = pytest.mark.chaos

SCRIPT = (
    ("a", SLOW),
    ("b", CUT),
    ("a", BUSY),
    ("b", DEAD),
    ("a", CUT),
    ("b", SILENT),
    ("a", DEAD),
    ("a", SILENT),
)
PHASE = 5.0
"""Seconds of each."""
REST = 2.5
"""Seconds between them, in which both work."""
RECOVERY = 1.5
"""Seconds until a backend that works again has to be asked again: its Retry-After is over by then."""
DEADLINE = 4.0
"""Seconds of a request: time to wait in vain for one backend and for an answer of the other."""
CALLERS = 12
"""Half of them stream."""
THINK_TIME = 0.02
MAX_GROWTH = 12.0
"""MiB of resident memory, from the first quarter to the last."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and what its caller got."""

    began: float
    ended: float
    expected: str
    text: str
    error: str
    times_finished: int
    streamed: bool

    @property
    def complete(self) -> bool:
        return not self.error and self.text == self.expected

    @property
    def cut_short(self) -> bool:
        """Whether a stream broke off when its caller had seen some of it, which nobody can take back."""
        return (
            self.streamed and 0 < len(self.text) < len(self.expected) and self.expected.startswith(self.text)
        )


async def test_no_request_is_lost_that_a_working_backend_could_serve_and_none_is_answered_twice(tmp_path):
    async with AsyncExitStack() as stack:
        backends = {name: ChaosBackend() for name in "ab"}
        for each in backends.values():
            stack.push_async_callback(each.stop)
            await each.start()
        gateway = await stack.enter_async_context(_gateway(tmp_path, backends))
        client = Client(await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address)))
        calls, memory = await _run_script(client, backends, gateway.pid)

        assert len(calls) > 1000
        assert gateway.log.read_text().count("attempt_failed") > len(SCRIPT)
        lost = [each for each in calls if _is_lost(each, backends.values())]
        assert not lost, _summary(lost)
        twice = [each for each in calls if each.times_finished > 1 or len(each.text) > len(each.expected)]
        assert not twice, _summary(twice)
        quarter = len(memory) // 4
        growth = statistics.median(memory[-quarter:]) - statistics.median(memory[:quarter])
        assert growth < MAX_GROWTH, memory
        await _wait_until_answering(client, set(backends))
        listed = (await client.admin.ListBackends(ListBackendsRequest())).backends
        assert [each.requests_in_flight for each in listed] == [0, 0]


@asynccontextmanager
async def _gateway(folder: Path, backends: dict[str, ChaosBackend]) -> AsyncIterator[ServiceProcess]:
    http = {"connect_timeout": 2, "idle_timeout": 2}
    models = {
        "backends": {
            name: {"provider": "openai_compatible", "endpoint": each.url, "models": ["m"], "http": http}
            for name, each in backends.items()
        },
        "aliases": {"default": [f"{name}/m" for name in backends]},
    }
    async with process("clawdbot_plugins", state=folder / "plugins") as plugins:
        settings = {"CLAWDBOT_MODELS": json.dumps(models), "CLAWDBOT_PEERS__PLUGINS": plugins.address}
        async with process(
            "clawdbot_model_gateway", state=folder / "gateway", environment=settings
        ) as gateway:
            yield gateway


async def _run_script(
    client: Client, backends: dict[str, ChaosBackend], pid: int
) -> tuple[list[Call], list[float]]:
    """The calls of all callers until the end of the script, and the gateway's memory, each second, in MiB."""
    ended = asyncio.Event()
    calls: list[Call] = []
    memory: list[float] = []

    async def caller(number: int) -> None:
        count = 0
        while not ended.is_set():
            count += 1
            calls.append(await _call(client, f"{number}-{count}", streamed=number % 2 == 0))
            await asyncio.sleep(THINK_TIME)

    async def watch_memory() -> None:
        while not ended.is_set():
            memory.append(_resident_mib(pid))
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch_memory())
        for number in range(CALLERS):
            group.create_task(caller(number))
        for name, mood in SCRIPT:
            await asyncio.sleep(REST)
            await backends[name].be(mood, PHASE)
        await asyncio.sleep(REST)
        ended.set()
    return calls, memory


async def _call(client: Client, text: str, *, streamed: bool) -> Call:
    request, began = asks(text), time.monotonic()
    reply, error, times_finished = "", "", 0
    try:
        if streamed:
            async for event in client.stream(request, DEADLINE):
                reply += event.text_delta.text
                times_finished += event.HasField("finished")
        else:
            whole = await client.gateway.Generate(request, timeout=DEADLINE)
            reply = "".join(part.text for part in whole.message.parts)
    except grpc.aio.AioRpcError as raised:
        error = f"{raised.code().name}: {raised.details()}"
    return Call(
        began=began,
        ended=time.monotonic(),
        expected=reply_to(text),
        text=reply,
        error=error,
        times_finished=times_finished,
        streamed=streamed,
    )


async def _wait_until_answering(client: Client, names: set[str]) -> None:
    """Returns when each of the backends has answered again."""
    answered: set[str] = set()
    async with asyncio.timeout(20):
        while answered != names:
            answered.add((await client.gateway.Generate(asks("x"))).backend)


def _is_lost(call: Call, backends: Collection[ChaosBackend]) -> bool:
    """Whether a backend worked all the time, and the reply is not there all the same.

    A stream may break off in the middle, but not while all of them worked.
    """
    worked = [
        not any(began < call.ended and call.began < ended + RECOVERY for began, ended in each.sick)
        for each in backends
    ]
    return not call.complete and (all(worked) if call.cut_short else any(worked))


def _summary(calls: Iterable[Call]) -> str:
    counted = Counter((each.streamed, each.error, each.text[:40], each.times_finished) for each in calls)
    return "\n".join(map(str, counted.most_common(20)))


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20
