"""Requests that take a while to send, and what a server may say meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

import pytest

from tests.support.fake_openai import completion
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks

LARGE = asks("\x01" * 2_000_000)
"""Six bytes for each character in JSON: more than the system's buffers take."""
REPLY = json.dumps(completion({"content": "Good evening"})).encode()
SMALL_BUFFER = 64 * 1024
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """The endpoint of a server that hands over each request's content length, its head having been read."""
    serving: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError), closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await serve(reader, writer, int(head.partition(b"content-length: ")[2].split()[0]))

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    running = await asyncio.start_server(accept, sock=listening)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        running.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


async def say(served, request) -> str:
    reply = await served.inside.run(request, "generate", 60.0)
    return reply.message.parts[0].text


async def test_silence_counts_from_the_end_of_the_request(tmp_path):
    async def slowly(reader, writer, length):
        await reader.readexactly(1_000_000)
        await asyncio.sleep(4.0)
        await reader.readexactly(length - 1_000_000)
        writer.write(response(REPLY))

    settings = {"http": {"read_timeout": "3s"}}
    async with (
        server(slowly) as url,
        gateway(tmp_path, model=compatible(url, models=["m"], **settings)) as served,
    ):
        assert await say(served, LARGE) == "Good evening"


async def test_a_silent_server_fails_after_the_read_timeout(tmp_path):
    async def silently(reader, writer, length):
        await reader.readexactly(length)
        await asyncio.Event().wait()

    settings = {"http": {"read_timeout": "300ms"}}
    async with (
        server(silently) as url,
        gateway(tmp_path, model=compatible(url, models=["m"], **settings)) as served,
    ):
        assert (await served.inside.fault(LARGE, seconds=60.0)).reason == "BACKEND_TIMEOUT"


@pytest.mark.parametrize("closes", [True, False])
async def test_a_server_may_refuse_before_it_has_read_the_request(tmp_path, closes):
    lengths = []

    async def refuse_large(reader, writer, length):
        lengths.append(length)
        if length < 1000:
            await reader.readexactly(length)
            writer.write(response(REPLY))
            return
        await reader.readexactly(1000)
        refusal = json.dumps({"error": {"message": "the request is too large"}}).encode()
        writer.write(response(refusal, "413 Payload Too Large"))
        await writer.drain()
        if closes:
            writer.close()
        await asyncio.Event().wait()

    async with (
        server(refuse_large) as url,
        gateway(tmp_path, model=compatible(url, models=["m"])) as served,
    ):
        fault = await served.inside.fault(LARGE, seconds=60.0)
        assert "too large" in fault.message
        # Over another connection: the rest of the first request is still on its way over this one.
        assert await say(served, asks()) == "Good evening"
    assert len(lengths) == 2


async def test_a_reply_may_come_before_the_server_has_read_the_request(tmp_path):
    lengths = []

    async def early(reader, writer, length):
        lengths.append(length)
        writer.write(response(REPLY))
        await asyncio.Event().wait()

    async with server(early) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
        assert await say(served, LARGE) == "Good evening"
        assert await say(served, asks()) == "Good evening"
    assert len(lengths) == 2


@pytest.mark.parametrize(
    "interim",
    [b"HTTP/1.1 100 Continue\r\n\r\n", EARLY_HINTS, b"HTTP/1.1 102 Processing\r\n\r\n" * 3],
    ids=["continue", "early hints", "processing"],
)
async def test_interim_responses_are_passed_over(tmp_path, interim):
    async def serve(reader, writer, length):
        writer.write(interim)
        await reader.readexactly(length)
        writer.write(interim + response(REPLY))

    async with server(serve) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
        assert await say(served, asks()) == "Good evening"
        assert await say(served, LARGE) == "Good evening"


async def test_an_idle_connection_may_be_silent_for_longer_than_a_response(tmp_path):
    connections = set()

    async def serve(reader, writer, length):
        connections.add(writer)
        await reader.readexactly(length)
        writer.write(EARLY_HINTS + response(REPLY))

    settings = {"http": {"read_timeout": "2s", "keep_alive": "60s"}}
    async with (
        server(serve) as url,
        gateway(tmp_path, model=compatible(url, models=["m"], **settings)) as served,
    ):
        assert await say(served, asks()) == "Good evening"
        await asyncio.sleep(2.5)
        assert await say(served, asks()) == "Good evening"
    assert len(connections) == 1
