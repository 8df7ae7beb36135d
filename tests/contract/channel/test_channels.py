"""Each channel keeps the contract: grpc.aio over TCP (the reference), over a Unix socket, and in process."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer

from tests.contract.channel.channel_contract import ChannelContract
from tests.contract.channel.servicer import Stub, text
from tests.contract.channel.termination_contract import wait_for
from tests.contract.channel.unary_contract import error_of


@asynccontextmanager
async def over_a_socket(address, handlers, max_message):
    limits = (("grpc.max_receive_message_length", max_message),)
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
        return lambda handlers, max_message: over_a_socket("127.0.0.1:0", handlers, max_message)


class TestUnixSocket(ChannelContract):
    @pytest.fixture
    def connect(self, tmp_path):
        return lambda handlers, max_message: over_a_socket(
            f"unix:{tmp_path / 'servicer.sock'}", handlers, max_message
        )


class TestInProcess(ChannelContract):
    @pytest.fixture
    def connect(self):
        @asynccontextmanager
        async def connected(handlers, max_message):
            server = InProcessServer(max_message)
            server.add_generic_rpc_handlers(tuple(handlers))
            try:
                async with InProcessChannel(server) as channel:
                    yield channel
            finally:
                await server.stop()

        return connected

    async def test_a_stream_without_references_is_cancelled(self, stub, servicer):
        """Over a socket gRPC keeps the stream and its servicer until the connection ends."""
        call = stub.CountAndWait(text("1"))
        assert await call.read() == text("0")
        await wait_for(servicer.started)
        del call
        gc.collect()
        await wait_for(servicer.ended)

    async def test_a_stopped_server_ends_its_calls_and_waits_for_the_servicers(self, servicer):
        server = InProcessServer()
        server.add_generic_rpc_handlers((servicer.handler(),))
        async with InProcessChannel(server) as channel:
            call = Stub(channel).Wait(text(""))
            await wait_for(servicer.started)
            await server.stop()
            assert servicer.ended.is_set()
            for each in (call, Stub(channel).Echo(text(""))):
                assert (await error_of(each)).code() == grpc.StatusCode.UNAVAILABLE
