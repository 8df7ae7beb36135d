"""Where the engines differ: the table of docs/operations.md, by bytes that no client library sends."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib

import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit import grpcio_server, server_factory

from tests.support.conditions import PATIENCE, until
from tests.support.hosts import hosting
from tests.support.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GO_AWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW,
    Http2Client,
    call_headers,
    frame,
    header,
    message,
)
from tests.support.ports import refuses
from tests.support.trial_service import ticks

LIST_TOOLS = b"/clawdbot.plugins.v1.ToolService/ListTools"
CALL = call_headers(LIST_TOOLS)
EMPTY = message(b"")
ENHANCE_YOUR_CALM = 11
INITIAL_WINDOW = struct.pack(">HI", 4, 500)
MANY = header(b"x-b", b"y" * 100) * 125
"""Headers a little over server.max_metadata, which counts 32 bytes more for each, in one frame."""


@pytest.fixture
def expected(engine):
    """What the engine under test is to answer."""
    return lambda grpcio, native: {"grpcio": grpcio, "native": native}[engine]


async def found_by(talk, folder, *greeting_and_timeout, **sections):
    """What a client that sends its own bytes finds at a host."""

    def run(port):
        with Http2Client(port, *greeting_and_timeout) as client:
            return talk(client)

    async with hosting(folder, **sections) as hosted:
        return await asyncio.to_thread(run, hosted.host.port)


def with_header(name, value):
    return CALL + header(name, value)


def encoded(how):
    return with_header(b"grpc-encoding", how)


def compressed(data):
    return message(data, compressed=True)


DIFFERENCES = {
    # headers, message: on grpcio, on native
    "a call": (CALL, EMPTY, ("OK", "OK")),
    "a time-out that cannot be read": (with_header(b"grpc-timeout", b"soon"), EMPTY, ("INTERNAL", "OK")),
    "a negative time-out": (with_header(b"grpc-timeout", b"-1S"), EMPTY, ("INTERNAL", "OK")),
    "a binary header that cannot be read": (with_header(b"x-a-bin", b"!"), EMPTY, ("INTERNAL", "OK")),
    "no message": (CALL, b"", ("MALFORMED_MESSAGE", "INTERNAL")),
    "a message that is cut off": (CALL, message(b"x" * 9)[:8], ("MALFORMED_MESSAGE", "INTERNAL")),
    "half of what precedes a message": (CALL, EMPTY[:3], ("MALFORMED_MESSAGE", "INTERNAL")),
    "more after the message": (CALL, EMPTY + b"xyz", ("OK", "INTERNAL")),
    "gzip": (encoded(b"gzip"), compressed(gzip.compress(b"")), ("OK", "OK")),
    "gzip that cannot be read": (encoded(b"gzip"), compressed(b"no"), ("INTERNAL", "INTERNAL")),
    "deflate": (encoded(b"deflate"), compressed(zlib.compress(b"")), ("OK", "UNIMPLEMENTED")),
    "an unknown encoding": (encoded(b"br"), compressed(b""), ("INTERNAL", "UNIMPLEMENTED")),
    "compressed without an encoding": (CALL, compressed(b""), ("INTERNAL", "INTERNAL")),
    "a name with capitals": (with_header(b"X-Name", b"1"), EMPTY, ("INTERNAL", "closed")),
    "a name with a space": (with_header(b"x name", b"1"), EMPTY, ("INTERNAL", "closed")),
    "a control character": (with_header(b"x-name", b"a\x01"), EMPTY, ("OK", "closed")),
    "a value that is not ASCII": (with_header(b"x-name", b"\xe9\xff"), EMPTY, ("OK", "OK")),
    "a header of HTTP/1": (with_header(b"connection", b"close"), EMPTY, ("OK", "reset")),
    "a length that is wrong": (with_header(b"content-length", b"999"), EMPTY, ("OK", "reset")),
    "a method that is not POST": (CALL.replace(b"\x04POST", b"\x03PUT"), EMPTY, ("reset", "OK")),
    "headers over the limit": (CALL + MANY, EMPTY, ("RESOURCE_EXHAUSTED", "HTTP 431")),
}


def headers(block, stream=1):
    return frame(HEADERS, END_HEADERS, stream, block)


@pytest.mark.parametrize(("block", "data", "answers"), DIFFERENCES.values(), ids=DIFFERENCES)
async def test_what_each_engine_answers(tmp_path, expected, block, data, answers):
    def call(client):
        client.acknowledge_settings()
        client.send(headers(block) + frame(DATA, END_STREAM, 1, data))
        return client.outcome()

    assert await found_by(call, tmp_path) == expected(*answers)


async def test_a_message_over_the_limit_is_refused_before_or_after_it_is_read(tmp_path, expected):
    """Its length comes first, and the rest never."""

    def call(client):
        client.send(headers(with_header(b"grpc-timeout", expected(b"50S", b"500m"))))
        client.send(frame(DATA, 0, 1, struct.pack(">BI", 0, 5 << 20)))
        return client.outcome()

    assert await found_by(call, tmp_path) == expected("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")


async def test_headers_far_over_the_limit_are_refused_or_end_the_connection(tmp_path, expected):
    def call(client):
        client.acknowledge_settings()
        first, *more = (MANY for _ in range(10))
        client.send(frame(HEADERS, 0, 1, CALL + first))
        client.send(b"".join(frame(CONTINUATION, 0, 1, each) for each in more))
        client.send(frame(CONTINUATION, END_HEADERS, 1) + frame(DATA, END_STREAM, 1, EMPTY))
        return client.outcome()

    assert await found_by(call, tmp_path) == expected("RESOURCE_EXHAUSTED", "closed")


async def test_a_client_that_pings_without_end_is_closed_or_answered(tmp_path, expected):
    def flood(client):
        client.send(frame(PING, 0, 0, b"01234567") * 50)
        client.done_sending()
        return list(client.frames())

    frames = await found_by(flood, tmp_path)
    reasons = {struct.unpack(">II", payload[:8])[1] for kind, *_, payload in frames if kind == GO_AWAY}
    assert (ENHANCE_YOUR_CALM in reasons) == expected(grpcio=True, native=False)


async def test_an_open_connection_is_told_of_a_drain_or_its_calls_are_refused(tmp_path, expected):
    def call(client, stream):
        client.send(headers(CALL, stream) + frame(DATA, END_STREAM, stream, EMPTY))
        return client.outcome(stream)

    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        with Http2Client(hosted.host.port) as client:
            client.acknowledge_settings()
            assert await asyncio.to_thread(call, client, 1) == "OK"
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(10**6, 0.05)))
            await anext(stream)
            stopping = asyncio.create_task(hosted.host.stop(60))
            await until(lambda: refuses(hosted.host.port))
            found = await asyncio.to_thread(call, client, 3)
            await hosted.host.stop()
            await stopping
    assert found == expected("closed", "SHUTTING_DOWN")


async def test_a_stop_waits_for_a_slow_reader_of_a_last_reply_on_grpcio_only(tmp_path, expected):
    """The call has ended for its servicer; the client lets the server send little of the reply at first."""
    request = message(tool_service_pb2.ListToolsRequest(plugin="x" * 10_000).SerializeToString())
    async with hosting(tmp_path) as hosted:
        with Http2Client(hosted.host.port, PREFACE + frame(SETTINGS, 0, 0, INITIAL_WINDOW)) as client:
            client.acknowledge_settings()
            client.send(headers(CALL) + frame(DATA, END_STREAM, 1, request))
            await asyncio.to_thread(lambda: next(each for each in client.frames() if each[0] == DATA))
            stopping = asyncio.create_task(hosted.host.stop(60))
            # The native engine closes the connection meanwhile.
            await asyncio.wait({stopping}, timeout=expected(grpcio_server.CLOSE_TIMEOUT + 1, PATIENCE))
            client.send(frame(WINDOW, 0, 1, struct.pack(">I", 1_000_000)))
            rest = await asyncio.to_thread(lambda: sum(len(each[3]) for each in client.frames()))
            await stopping
    assert (rest > 9_000) == expected(grpcio=True, native=False)


async def test_a_client_that_says_nothing_is_sent_away_by_grpcio_only(tmp_path, expected, monkeypatch):
    def wait(client):
        try:
            return list(client.frames())
        except TimeoutError:
            return "still open"

    monkeypatch.setattr(server_factory, "HANDSHAKE_TIMEOUT", 0.5)
    found = await found_by(wait, tmp_path, b"", expected(PATIENCE, 2.0))
    assert (found == "still open") == expected(grpcio=False, native=True)


@pytest.mark.parametrize("engine", ["grpcio"], indirect=True)
async def test_grpcio_closes_connections_of_a_certain_age(tmp_path):
    def kinds_of_frames(client):
        client.acknowledge_settings()
        kinds = set()
        for kind, flags, _, payload in client.frames():
            kinds.add(kind)
            if kind == PING and not flags & ACK:  # grpcio waits 20 s for the reply before it closes.
                client.send(frame(PING, ACK, 0, payload))
        return kinds

    assert GO_AWAY in await found_by(kinds_of_frames, tmp_path, server={"max_connection_age": 0.5})
