"""A Chat Completions backend as a process of its own: it misbehaves when told to, dies and comes back.

As a script it serves on the port given, and reads its moods from its input, one a line.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp import web

from tests.support.fake_openai import chunk, completion, sse, usage_chunk
from tests.support.ports import free_port

PIECES = 8
"""Of a reply."""
PACE = 0.005
"""Seconds before each piece."""
SLOW_PACE = 0.15
RETRY_AFTER = "1"
"""Seconds, of a busy backend."""

WELL, SLOW, CUT, BUSY, SILENT, DEAD = "well", "slow", "cut", "busy", "silent", "dead"
WORKS = {WELL, SLOW}


def reply_to(text: str) -> str:
    """The whole reply, by which the caller recognizes a lost or a repeated piece."""
    return "".join(_pieces(text))


class ChaosBackend:
    """The process, and when it did not work."""

    def __init__(self) -> None:
        self.port = free_port()
        self.sick: list[tuple[float, float]] = []
        """From when to when it did not work."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        """Returns when it serves."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.chaos_backend",
            str(self.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline(), "the backend did not start"

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def be(self, mood: str, seconds: float) -> None:
        """Misbehaves for so long, and works again when this returns."""
        began = time.monotonic()
        if mood == DEAD:
            await self.stop()
        else:
            await self._feel(mood)
        await asyncio.sleep(seconds)
        if mood == DEAD:
            await self.start()
        else:
            await self._feel(WELL)
        if mood not in WORKS:
            self.sick.append((began, time.monotonic()))

    async def _feel(self, mood: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{mood}\n".encode())
        assert await self._process.stdout.readline(), "the backend has died of itself"


class Moody:
    """The server."""

    def __init__(self) -> None:
        self._mood = WELL
        self._requests = 0
        self._silence = asyncio.Event()
        """Set when it ends: then what it held is cut, as by a restart."""

    def feel(self, mood: str) -> None:
        """For new requests, and for those that it is answering."""
        self._mood = mood
        self._silence.set()
        self._silence = asyncio.Event()

    async def models(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._requests += 1
        if self._mood == BUSY:
            error = {"error": {"message": "Rate limit reached", "type": "requests", "code": None}}
            return web.json_response(error, status=429, headers={"retry-after": RETRY_AFTER})
        # Every other one is cut in the middle of its reply.
        cut_after = 0 if self._requests % 2 else PIECES // 2
        pieces = _pieces(body["messages"][-1]["content"])
        if not body.get("stream"):
            for number in range(PIECES):
                await self._pause(request, number >= cut_after)
            return web.json_response(completion({"content": "".join(pieces)}))
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await response.write(sse(chunk({"role": "assistant", "content": ""}), done=False))
        for number, piece in enumerate(pieces):
            await self._pause(request, number >= cut_after)
            await response.write(sse(chunk({"content": piece}), done=False))
        await response.write(sse(chunk({}, "stop"), usage_chunk()))
        await response.write_eof()
        return response

    async def _pause(self, request: web.Request, may_cut: bool) -> None:
        await asyncio.sleep(SLOW_PACE if self._mood == SLOW else PACE)
        if self._mood == SILENT:
            await self._silence.wait()
            await _abort(request)
        if self._mood == CUT and may_cut:
            await _abort(request)


async def _abort(request: web.Request) -> None:
    """Cuts the connection, which cancels the request."""
    assert request.transport is not None
    request.transport.abort()
    await asyncio.Event().wait()


def _pieces(text: str) -> list[str]:
    return [f"{text}:{number} " for number in range(PIECES)]


async def main(port: int) -> None:
    moody = Moody()
    app = web.Application()
    app.router.add_get("/v1/models", moody.models)
    app.router.add_post("/v1/chat/completions", moody.chat)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("serves", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        moody.feel(line.strip())
        print("feels so", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
