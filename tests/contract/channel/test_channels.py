"""Each channel keeps the contract: grpc.aio over TCP, which is its measure, over a Unix socket, and ours."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer

from tests.contract.channel.channel_contract import ChannelContract
from tests.contract.channel.ends_contract import soon
from tests.contract.channel.far import Stub, text
from tests.contract.channel.single_contract import failure


@asynccontextmanager
async def over_a_socket(address, handlers, largest):
    limits = (("grpc.max_receive_message_length", largest),)
    server = grpc.aio.server(options=limits)
    server.add_generic_rpc_handlers(tuple(handlers))
    port = server.add_insecure_port(address)
    await server.start()
    target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(target, limits) as channel:
            await channel.channel_ready()
            yield channel
    finally:
        await server.stop(None)


class TestTcp(ChannelContract):
    @pytest.fixture
    def connect(self):
        return lambda handlers, largest: over_a_socket("127.0.0.1:0", handlers, largest)


class TestUnixSocket(ChannelContract):
    @pytest.fixture
    def connect(self, tmp_path):
        return lambda handlers, largest: over_a_socket(f"unix:{tmp_path / 'far.sock'}", handlers, largest)


class TestInProcess(ChannelContract):
    @pytest.fixture
    def connect(self):
        @asynccontextmanager
        async def connected(handlers, largest):
            server = InProcessServer(largest)
            server.add_generic_rpc_handlers(tuple(handlers))
            try:
                async with InProcessChannel(server) as channel:
                    yield channel
            finally:
                await server.stop()

        return connected

    async def test_a_stream_that_nobody_holds_any_more_is_cancelled(self, stub, far):
        """Over a socket gRPC keeps it, and its servicer, until the connection ends."""
        call = stub.CountAndWait(text("1"))
        assert await call.read() == text("0")
        await soon(far.begun)
        del call
        gc.collect()
        await soon(far.ended)

    async def test_a_stopped_server_ends_its_calls_and_waits_for_the_servicers(self, far):
        server = InProcessServer()
        server.add_generic_rpc_handlers((far.handler(),))
        async with InProcessChannel(server) as channel:
            call = Stub(channel).Wait(text(""))
            await soon(far.begun)
            await server.stop()
            assert far.ended.is_set()
            for each in (call, Stub(channel).Echo(text(""))):
                assert (await failure(each)).code() == grpc.StatusCode.UNAVAILABLE
