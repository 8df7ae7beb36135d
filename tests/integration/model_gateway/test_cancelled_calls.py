"""A call that is cancelled at any moment leaves its backend and its slot at once; its cost counts once."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy

from tests.support.conditions import until
from tests.support.fake_openai import HANG, HOLD, KEY, Answer, chunk, fake_openai, sse
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, finish_of
from tests.support.scripted_provider import FakeHooks

ROUNDS = 64
AT_ONCE = 0.1
"""Seconds. A quarter of the rounds must keep it, as a busy machine is late; each has to be over in twenty."""
CACHES = pytest.mark.parametrize(
    "mode", [CachePolicy.MODE_BYPASS, CachePolicy.MODE_USE], ids=["own", "shared"]
)
ANSWERS = {
    "before the headers": (HOLD, "stream"),
    "before the first content": (Answer([sse(chunk({"role": "assistant"}), done=False), HANG]), "stream"),
    "mid-stream": (Answer([sse(chunk({"content": "Good"}), done=False), HANG]), "stream"),
    "unary": (HOLD, "generate"),
    "unary, in the body": (Answer([b'{"choices": ', HANG], content_type="application/json"), "generate"),
}


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


@asynccontextmanager
async def observed(tmp_path, **section):
    """A gateway whose backend has a fallback that is never asked, and the hooks that it tells about calls."""
    models = {
        "backends": {"a": section, "b": {"provider": "echo"}},
        "aliases": {"default": ["a/m", {"target": "b/echo", "fallback": True}]},
    }
    async with gateway(tmp_path, models=models) as served:
        hooks = FakeHooks()
        served.application._components.gateway_servicer._generation._lifecycle._hooks = hooks
        yield served, hooks


class Silent:
    """A server that accepts connections and never says anything, not even for TLS."""

    def __init__(self):
        self.came, self.left = asyncio.Event(), asyncio.Event()
        self.open = 0

    async def talk(self, reader, writer):
        self.open += 1
        self.came.set()
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            self.left.set()
            writer.close()


@asynccontextmanager
async def silent():
    server = Silent()
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    async with listening:
        yield server, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


class Call:
    """A call in progress. It is cancelled itself: gRPC may lose the cancellation of a task that reads it."""

    def __init__(self, served, request, rpc):
        self.shown = asyncio.Event()
        """Set when the caller has seen some text."""
        client = served.client
        self._rpc = client.begin(request, rpc, seconds=600)
        self._reader = asyncio.create_task(self._read(rpc))

    async def _read(self, rpc):
        if rpc == "generate":
            await self._rpc
            return
        async for event in self._rpc:
            if event.HasField("text_delta"):
                self.shown.set()

    def cancel(self):
        self._rpc.cancel()

    async def over(self):
        with pytest.raises(asyncio.CancelledError):
            await self._reader


def at_once(times: list[float]) -> bool:
    return sorted(times)[ROUNDS // 4] < AT_ONCE


def facts_of(hooks) -> list[dict]:
    return [dict(each.facts.items()) for each in hooks.observed]


async def check_round(served, hooks, output_tokens) -> None:
    """The call is over: its slot is free, and it was reported once."""
    await until(lambda: served.idle and hooks.observed)
    (facts,) = facts_of(hooks)
    assert (facts["outcome"], facts["attempts"]) == ("CANCELLED", 1)
    assert facts["output_tokens"] == output_tokens
    hooks.observed.clear()


def request_of(mode):
    return asks(cache=CachePolicy(mode=mode))


@CACHES
@pytest.mark.parametrize("moment", ANSWERS)
async def test_the_connection_is_closed_at_once(tmp_path, backend, moment, mode):
    answer, rpc = ANSWERS[moment]
    times = []
    async with observed(tmp_path, **compatible(backend.url, api_key=KEY, models=["m"])) as (served, hooks):
        for number in range(ROUNDS):
            backend.gone.clear()
            backend.busy.clear()
            backend.will(answer)
            call = Call(served, request_of(mode), rpc)
            await (call.shown if moment == "mid-stream" else backend.busy).wait()
            began = time.monotonic()
            call.cancel()
            async with asyncio.timeout(20):
                await backend.gone.wait()
            times.append(time.monotonic() - began)
            await call.over()
            assert backend.left == number + 1
            await check_round(served, hooks, 1 if moment == "mid-stream" else 0)
        assert at_once(times)
        assert len(backend.asked) == ROUNDS, "nothing was sent again"
        assert finish_of(await served.client.run(request_of(mode), "stream")) == "stop"


@CACHES
@pytest.mark.parametrize("rpc", ["stream", "generate"])
async def test_a_call_that_waits_in_the_queue_leaves_it_at_once(tmp_path, backend, rpc, mode):
    section = compatible(backend.url, api_key=KEY, models=["m"], queue={"concurrency": 1})
    times = []
    async with observed(tmp_path, **section) as (served, hooks):
        one = served.application._components.backends["a"]
        backend.will(HOLD)
        first = Call(served, asks("first"), "stream")
        await backend.busy.wait()
        for _ in range(ROUNDS):
            call = Call(served, request_of(mode), rpc)
            await until(lambda: one.scheduler.waiting == 1)
            began = time.monotonic()
            call.cancel()
            await call.over()
            await until(lambda: one.scheduler.waiting == 0)
            times.append(time.monotonic() - began)
            await until(lambda: hooks.observed)
            (facts,) = facts_of(hooks)
            assert (facts["outcome"], facts["input_tokens"], facts["output_tokens"]) == ("CANCELLED", 0, 0)
            hooks.observed.clear()
            assert one.in_flight == 1
        assert at_once(times)
        assert len(backend.asked) == 1
        first.cancel()
        await first.over()
        await check_round(served, hooks, 0)
        assert finish_of(await served.client.run(request_of(mode), "stream")) == "stop"


@CACHES
@pytest.mark.parametrize("rpc", ["stream", "generate"])
async def test_a_connection_that_is_being_made_is_closed_at_once(tmp_path, rpc, mode):
    times = []
    async with (
        silent() as (server, url),
        observed(tmp_path, **compatible(url, api_key=KEY, models=["m"])) as (served, hooks),
    ):
        for _ in range(ROUNDS):
            server.came.clear()
            server.left.clear()
            call = Call(served, request_of(mode), rpc)
            await server.came.wait()
            began = time.monotonic()
            call.cancel()
            async with asyncio.timeout(20):
                await server.left.wait()
            times.append(time.monotonic() - began)
            await call.over()
            await check_round(served, hooks, 0)
        assert at_once(times)
        assert server.open == 0
