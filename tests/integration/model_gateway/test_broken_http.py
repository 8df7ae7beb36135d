"""Responses that stop being HTTP, and servers that never get as far: a fallback is asked at once."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.fake_openai import chunk, completion, sse, text_chunks
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, finish_of, text_of
from tests.support.raw_server import raw_server

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REPLY = json.dumps(completion({"content": "Good evening"})).encode()
STREAM = sse(*text_chunks("Good", " evening"))
SECONDS = 60.0
"""Of a call: none of these waits for its end."""
NOT_HTTP = {
    "a size that is none": b"zz\r\n",
    "a size that is negative": b"-5\r\nabcde\r\n",
    "an extension that is none": b'5;a="\x01\r\nabcde\r\n',
    "another response": b"HTTP/1.1 200 OK\r\n\r\n",
    "a trailer that is none": b"0\r\n\x01\r\n\r\n",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x28",
}


def part(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def two(url: str) -> dict[str, object]:
    return {
        "backends": {
            "first": compatible(url, models=["m"], http={"connect_timeout": "500ms", "warm": 0}),
            "second": {"provider": "echo", "models": ["m"]},
        },
        "aliases": {"chat": ["first/m", {"target": "second/m", "fallback": True}]},
    }


@pytest.mark.parametrize("broken", NOT_HTTP.values(), ids=NOT_HTTP)
@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_a_fallback_is_asked_when_a_response_stops_being_http(tmp_path, rpc, broken):
    async def serve(reader, writer, length):
        await reader.readexactly(length)
        writer.write(CHUNKED + part(b": a sign of life\n\n"))
        await asyncio.sleep(0.05)
        writer.write(broken)
        await asyncio.Event().wait()

    async with raw_server(serve) as url, gateway(tmp_path, models=two(url)) as served:
        reply = await served.inside.run(asks("x", model="chat"), rpc, SECONDS)
    backend = reply.backend if rpc == "generate" else reply[0].started.backend
    assert backend == "second"


async def test_a_reply_is_cut_off_where_it_stops_being_http(tmp_path):
    async def serve(reader, writer, length):
        await reader.readexactly(length)
        writer.write(CHUNKED + part(sse(chunk({"content": "Good"}), done=False)))
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n" + STREAM)
        await asyncio.Event().wait()

    async with raw_server(serve) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
        events = await served.inside.run(asks("x"), "stream", SECONDS)
    assert (text_of(events), finish_of(events)) == ("Good", "truncated")


@pytest.mark.parametrize("body", [REPLY, STREAM], ids=["json", "events"])
async def test_what_follows_a_whole_reply_need_not_be_http(tmp_path, body):
    async def serve(reader, writer, length):
        await reader.readexactly(length)
        writer.write(CHUNKED + part(body))
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n")
        await asyncio.Event().wait()

    async with raw_server(serve) as url, gateway(tmp_path, model=compatible(url, models=["m"])) as served:
        reply = await served.inside.run(asks("x"), "generate", SECONDS)
    assert reply.message.parts[0].text == "Good evening"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_proxy_that_does_not_make_a_tunnel_has_as_long_as_a_connection(tmp_path, monkeypatch, said):
    async def stall(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with gateway(tmp_path, models=two("https://vendor.example/v1")) as served:
            reply = await served.inside.run(asks("x", model="chat"), "generate", SECONDS)
            fault = await served.inside.fault(asks("x", model="first/m"), seconds=SECONDS)
    assert reply.backend == "second"
    assert fault.reason == "BACKEND_UNREACHABLE"
    assert "connect_timeout" in fault.message


async def test_a_proxy_that_closes_the_connection_in_place_of_a_tunnel_is_named(tmp_path, monkeypatch):
    async def close(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with gateway(tmp_path, models=two("https://vendor.example/v1")) as served:
            fault = await served.inside.fault(asks("x", model="first/m"), seconds=SECONDS)
    assert fault.reason == "BACKEND_PROXY"
    assert "the proxy closed the connection" in fault.message


async def test_a_name_that_is_looked_up_for_too_long_is_given_up(tmp_path, monkeypatch):
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async with gateway(tmp_path, models=two("http://vendor.example/v1")) as served:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        reply = await served.inside.run(asks("x", model="chat"), "generate", SECONDS)
        fault = await served.inside.fault(asks("x", model="first/m"), seconds=SECONDS)
    assert reply.backend == "second"
    assert "connect_timeout" in fault.message
