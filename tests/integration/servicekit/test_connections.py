"""One connection cannot starve the others, and services are not held up by that limit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import pytest
from clawdbot.plugins.v1 import tool_service_pb2, tool_service_pb2_grpc
from clawdbot_servicekit.peers import NetworkPeers

from tests.support.hosts import hosting, trial_settings
from tests.support.trial_process import trial_process
from tests.support.trial_service import ticks

HEADERS, RESET, SETTINGS, ACK, END_HEADERS = 1, 3, 4, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header(name, value):
    """A header that HPACK neither compresses nor remembers."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


CALL = b"".join(
    header(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/clawdbot.plugins.v1.ToolService/ListTools"),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


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
                await stub.ListTools(tool_service_pb2.ListToolsRequest(), timeout=5)
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
