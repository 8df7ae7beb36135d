"""A call that ends while a message of it is on its way: its caller is told how, and its place is free."""

from __future__ import annotations

import asyncio
import gc
import struct

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit import grpcio_server
from clawdbot_servicekit.stream_drain import StreamDrain

from tests.support.conditions import until
from tests.support.engines import make_engine_server
from tests.support.hosts import hosting
from tests.support.http2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW,
    Http2Client,
    call_headers,
    frame,
    message,
)
from tests.support.trial_service import ticks

MORE = frame(WINDOW, 0, 1, struct.pack(">I", 1_000_000))
"""Lets the server send the rest."""
WINDOWS = {"the first message": 0, "a later message": 40}
"""Bytes of messages that the server may send at first."""
BRIEF = 0.2
DEADLINES = {
    "the server's": ({"default_deadline": BRIEF}, {}),
    "the caller's": ({}, {"grpc_timeout": b"200m"}),
}
"""Settings of the server, and headers of the call."""


def calling(port, method, request, window, **headers):
    """A client that has begun a call, and takes so many bytes of its messages."""
    client = Http2Client(port, PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window)))
    client.acknowledge_settings()
    client.send(frame(HEADERS, END_HEADERS, 1, call_headers(method, **headers)))
    client.send(frame(DATA, END_STREAM, 1, message(request)))
    return client


def invoking(hosted, window, headers):
    method = b"/clawdbot.plugins.v1.ToolService/InvokeTool"
    return calling(hosted.host.port, method, ticks(10**6, 0.001).SerializeToString(), window, **headers)


@pytest.mark.parametrize(("settings", "headers"), DEADLINES.values(), ids=DEADLINES)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
async def test_a_caller_that_reads_on_gets_the_deadline(tmp_path, window, settings, headers):
    async with hosting(tmp_path, server=settings) as hosted:
        with await asyncio.to_thread(invoking, hosted, window, headers) as client:
            await hosted.trial.tools.begun.wait()
            await until(lambda: not hosted.trial.tools.running)
            client.send(MORE)
            assert await asyncio.to_thread(client.outcome) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(("settings", "headers"), DEADLINES.values(), ids=DEADLINES)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
async def test_a_caller_that_never_reads_on_takes_nobodys_place(
    tmp_path, window, settings, headers, monkeypatch
):
    monkeypatch.setattr(grpcio_server, "STATUS_TIMEOUT", BRIEF)
    limits = {"max_concurrent_calls": 1, **settings}
    async with hosting(tmp_path, server=limits) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)

        async def has_room():
            return await stub.ListTools(tool_service_pb2.ListToolsRequest()).code() == grpc.StatusCode.OK

        with await asyncio.to_thread(invoking, hosted, window, headers):
            await hosted.trial.tools.begun.wait()
            await until(has_room)


async def test_a_caller_that_leaves_after_the_deadline_is_no_error(tmp_path):
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
    async with hosting(tmp_path, server={"default_deadline": BRIEF}) as hosted:
        with await asyncio.to_thread(invoking, hosted, 0, {}):
            await hosted.trial.tools.begun.wait()
            await until(lambda: not hosted.trial.tools.running)
    gc.collect()
    assert errors == []


async def test_a_watch_that_a_drain_ends_during_its_first_message_is_told():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def watch(request, context):
        try:
            begun.set()
            await context.write(request)
            await asyncio.Event().wait()
        finally:
            ended.set()

    draining, target = asyncio.Event(), make_engine_server()
    StreamDrain(target, draining).add_registered_method_handlers(
        "test.Things", {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
    )
    port = target.server.add_insecure_port("127.0.0.1:0")
    await target.server.start()
    with await asyncio.to_thread(calling, port, b"/test.Things/Watch", b"x" * 100, 0) as client:
        await begun.wait()
        draining.set()
        await ended.wait()
        client.send(MORE)
        assert await asyncio.to_thread(client.outcome) == "SHUTTING_DOWN"
    await target.server.stop(None)
