"""Requests that take a while to send, and what a server may say meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.conditions import until
from tests.support.fake_openai import completion
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.raw_server import raw_server, response

LARGE = asks("\x01" * 2_000_000)
"""Six bytes for each character in JSON: more than the system's buffers take."""
REPLY = json.dumps(completion({"content": "Good evening"})).encode()
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"


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
        raw_server(slowly) as url,
        gateway(tmp_path, model=compatible(url, models=["m"], **settings)) as served,
    ):
        assert await say(served, LARGE) == "Good evening"


async def test_a_silent_server_fails_after_the_read_timeout(tmp_path):
    async def silently(reader, writer, length):
        await reader.readexactly(length)
        await asyncio.Event().wait()

    settings = {"http": {"read_timeout": "300ms"}}
    async with (
        raw_server(silently) as url,
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
        raw_server(refuse_large) as url,
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

    async with raw_server(early) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
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

    async with raw_server(serve) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
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
        raw_server(serve) as url,
        gateway(tmp_path, model=compatible(url, models=["m"], **settings)) as served,
    ):
        assert await say(served, asks()) == "Good evening"
        await asyncio.sleep(2.5)
        assert await say(served, asks()) == "Good evening"
    assert len(connections) == 1


async def test_the_rest_of_a_cancelled_request_is_not_sent(tmp_path):
    began, left = asyncio.Event(), asyncio.Event()
    received = asyncio.get_running_loop().create_future()

    async def serve(reader, writer, length):
        began.set()
        await left.wait()
        received.set_result((len(await reader.read(-1)), length))

    async with (
        raw_server(serve) as url,
        gateway(tmp_path, model=compatible(url, models=["m"])) as served,
    ):
        call = served.inside.begin(LARGE, "generate", 600)
        reading = asyncio.ensure_future(call)
        await began.wait()
        call.cancel()
        await until(lambda: served.idle)
        left.set()
        async with asyncio.timeout(60):
            size, length = await received
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert size < length
