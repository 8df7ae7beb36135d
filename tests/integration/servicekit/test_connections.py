"""One connection cannot starve the others, and services are not held up by that limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit.peers import NetworkPeers

from tests.support.engines import make_engine_server, serving_handlers
from tests.support.hosts import hosting, trial_settings
from tests.support.http2_frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    Http2Client,
    call_headers,
    frame,
)
from tests.support.trial_process import trial_process
from tests.support.trial_service import ticks

LIST_TOOLS = b"/clawdbot.plugins.v1.ToolService/ListTools"
CALL = call_headers(LIST_TOOLS)


def reset_streams(port, count, done):
    """Opens so many calls and resets each at once, over one connection after the other."""
    sent = 0
    while sent < count and not done.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK))
            for stream in range(1, 2 * count, 2):
                reset = frame(RESET, 0, stream, struct.pack(">I", 8))
                client.sendall(frame(HEADERS, END_HEADERS, stream, CALL) + reset)
                sent += 1
                if done.is_set():
                    break


@pytest.mark.integration
async def test_a_connection_that_resets_its_calls_does_not_starve_the_others(tmp_path):
    done = threading.Event()
    async with trial_process(tmp_path) as process:
        await process.serving()
        attack = threading.Thread(target=reset_streams, args=(process.port, 40_000, done), daemon=True)
        attack.start()
        async with process.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            for _ in range(50):
                await stub.ListTools(tool_service_pb2.ListToolsRequest(), timeout=20)
        done.set()
        await asyncio.to_thread(attack.join, 20)


async def test_a_peer_with_more_calls_than_fit_on_a_connection_opens_another(tmp_path):
    async with hosting(tmp_path, server={"max_streams": 50}) as hosted:
        peers = NetworkPeers(trial_settings(tmp_path, peers={"plugins": hosted.address}))
        stub = tool_service_pb2_grpc.ToolServiceStub(peers.channel("plugins"))
        calls = [stub.InvokeTool(ticks(2, 3600)) for _ in range(200)]
        async with asyncio.timeout(30):
            await asyncio.gather(*(call.read() for call in calls))
        assert hosted.trial.tools.running == 200
        for call in calls:
            call.cancel()
        await peers.close()


BAD = b"\xff" * 40
GARBAGE = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "half a preface": PREFACE[:10],
    "no settings": PREFACE + frame(HEADERS, END_HEADERS, 1, CALL),
    "an unknown frame": PREFACE + frame(SETTINGS) + frame(0xEE, 0xFF, 0x7FFFFFFF, b"x" * 100),
    "a frame that is too large": PREFACE + frame(SETTINGS) + b"\xff\xff\xff" + bytes(6) + b"x" * 70_000,
    "headers that cannot be decoded": PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, BAD),
    "an even stream": PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 2, CALL),
    "noise": bytes(range(256)) * 64,
}


@pytest.mark.parametrize("bytes_sent", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_on_one_connection_does_not_disturb_the_others(tmp_path, bytes_sent):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        stub = tool_service_pb2_grpc.ToolServiceStub(channel)
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", hosted.host.port), timeout=20) as client:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(client.sendall, bytes_sent)
                await stub.ListTools(tool_service_pb2.ListToolsRequest(), timeout=20)
        await stub.ListTools(tool_service_pb2.ListToolsRequest(), timeout=20)


PATHS = {
    "not UTF-8": b"/\xff",
    "a method and a byte that is not UTF-8": LIST_TOOLS + b"\xff",
    "cut off within a character": b"/clawdbot.\xe4\xbd/ListTools",
    "a surrogate": b"/\xed\xa0\x80/x",
    "Latin-1": "/größe/x".encode("latin-1"),
    "UTF-8": "/größe/你好".encode(),
    "empty": b"",
    "no method": b"/",
    "other letters": LIST_TOOLS.lower(),
    "a query": LIST_TOOLS + b"?x=1",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_no_path_of_a_call_ends_the_server(tmp_path, path):
    """grpc.aio decodes paths in the loop that accepts all calls."""

    def send(port):
        with Http2Client(port) as client:
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, call_headers(path)))
            # Whatever the engine answers, it has seen the path.
            client.outcome()

    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        await asyncio.to_thread(send, hosted.host.port)
        async with hosted.insecure(("grpc.use_local_subchannel_pool", 1)) as new:
            for each in (channel, new):
                stub = tool_service_pb2_grpc.ToolServiceStub(each)
                await stub.ListTools(tool_service_pb2.ListToolsRequest(), timeout=10)


async def test_a_burst_of_connections_finds_room_until_they_are_accepted(engine):
    """The server does not accept yet. A connection without a place would try again after a second."""
    server = make_engine_server(engine).server
    port = server.add_insecure_port("127.0.0.1:0")
    with contextlib.ExitStack() as clients:
        for _ in range(500):
            clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.9))
    await server.start()
    await server.stop(None)


@pytest.mark.parametrize("sent", [b"", frame(HEADERS, END_HEADERS, 1, CALL)], ids=["no call", "half a call"])
async def test_a_client_that_stays_connected_and_reads_nothing_does_not_hold_up_a_stop(tmp_path, sent):
    async with hosting(tmp_path) as hosted, hosted.insecure() as channel:
        with socket.create_connection(("127.0.0.1", hosted.host.port), timeout=5) as client:
            client.sendall(PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK) + sent)
            await tool_service_pb2_grpc.ToolServiceStub(channel).ListTools(
                tool_service_pb2.ListToolsRequest(), timeout=10
            )
            if sent:
                client.sendall(frame(RESET, 0, 1, struct.pack(">I", 8)))
            async with asyncio.timeout(30):
                await hosted.host.stop(300)


async def test_slow_readers_take_neither_threads_nor_calls_from_others(engine):
    """Each has far more to read than the windows of HTTP/2 and the buffers of sockets hold."""

    async def flood(request, context):
        while True:
            await context.write(b"x" * 65_536)

    async def echo(request, context):
        return request

    handlers = {
        "Flood": grpc.unary_stream_rpc_method_handler(flood),
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
    }
    async with (
        serving_handlers(engine, {"test.Slow": handlers}) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as slow,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as other,
    ):
        streams = [slow.unary_stream("/test.Slow/Flood")(b"") for _ in range(60)]
        for each in streams:
            assert await each.read()
        assert await other.unary_unary("/test.Slow/Echo")(b"x", timeout=20) == b"x"
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "a thread"), 10)
        for each in streams:
            each.cancel()
