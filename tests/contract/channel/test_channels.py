"""Each channel keeps the contract: grpc.aio over TCP (the reference), the native engine, and in process."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from functools import partial

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from clawdbot_servicekit.pipeline.types import NEVER

from tests.contract.channel.channel_contract import ChannelContract
from tests.contract.channel.servicer import Stub, text
from tests.contract.channel.termination_contract import wait_for
from tests.contract.channel.unary_contract import error_of
from tests.support.engines import NEEDS_NATIVE, serving_handlers


@asynccontextmanager
async def over_a_socket(engine, address, services, max_message):
    limits = (("grpc.max_receive_message_length", max_message),)
    async with serving_handlers(engine, services, limits, address) as port:
        target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(target, limits) as channel:
            await channel.channel_ready()
            yield channel


class TestTcp(ChannelContract):
    @pytest.fixture
    def connect(self):
        return partial(over_a_socket, "grpcio", "127.0.0.1:0")


class TestUnixSocket(ChannelContract):
    @pytest.fixture
    def connect(self, tmp_path):
        return partial(over_a_socket, "grpcio", f"unix:{tmp_path / 'servicer.sock'}")


class NativeContract(ChannelContract):
    """The contract, as far as the native engine keeps it; the pipeline needs none of the differences."""

    async def test_the_servicer_sees_what_remains(self, stub):
        """Without a deadline a huge number."""
        assert float((await stub.Remaining(text(""))).value) > NEVER
        assert 25 < float((await stub.Remaining(text(""), timeout=30)).value) < 31

    async def test_the_servicer_context_of_a_cancelled_call(self, stub, servicer):
        """A write is lost without an error, and the context says that the call was cancelled."""
        call = stub.CountAndWait(text("0"))
        await wait_for(servicer.started)
        call.cancel()
        await wait_for(servicer.ended)
        assert servicer.received == []
        await wait_for(servicer.called_back)
        assert (servicer.context.cancelled(), servicer.context.code()) == (True, None)


@NEEDS_NATIVE
class TestNativeTcp(NativeContract):
    @pytest.fixture
    def connect(self):
        return partial(over_a_socket, "native", "127.0.0.1:0")


@NEEDS_NATIVE
class TestNativeUnixSocket(NativeContract):
    @pytest.fixture
    def connect(self, tmp_path):
        return partial(over_a_socket, "native", f"unix:{tmp_path / 'servicer.sock'}")


class TestInProcess(ChannelContract):
    @pytest.fixture
    def connect(self):
        @asynccontextmanager
        async def connected(services, max_message):
            server = InProcessServer(max_message)
            for service, handlers in services.items():
                server.add_registered_method_handlers(service, handlers)
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
        for service, handlers in servicer.services().items():
            server.add_registered_method_handlers(service, handlers)
        async with InProcessChannel(server) as channel:
            call = Stub(channel).Wait(text(""))
            await wait_for(servicer.started)
            await server.stop()
            assert servicer.ended.is_set()
            for each in (call, Stub(channel).Echo(text(""))):
                assert (await error_of(each)).code() == grpc.StatusCode.UNAVAILABLE
