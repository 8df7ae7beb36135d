"""Calls to other services over the network: tenant, retries, certificates."""

import asyncio
import os
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import (
    plugin_service_pb2,
    plugin_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
)
from clawdbot_servicekit import peer_channel, tls
from clawdbot_servicekit.caller import Caller, enter_caller
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.peers import NetworkPeers
from clawdbot_servicekit.settings import SharedSettings
from clawdbot_servicekit.settings.shared import TlsSettings

from tests.support.certificates import authority, certificate

TOKEN = "service-token-0123456789"


class RecordingTools(
    tool_service_pb2_grpc.ToolServiceServicer, plugin_service_pb2_grpc.PluginServiceServicer
):
    """Records its calls; the next `failures` calls fail with UNAVAILABLE."""

    def __init__(self):
        self.calls = []
        self.failures = 0

    async def _note(self, context):
        self.calls.append(dict(context.invocation_metadata()))
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    async def ListTools(self, request, context):
        await self._note(context)
        return tool_service_pb2.ListToolsResponse(next_page_token=request.plugin)

    async def ListPlugins(self, request, context):
        await self._note(context)
        return plugin_service_pb2.ListPluginsResponse()

    async def InvokeTool(self, request, context):
        await self._note(context)
        yield tool_service_pb2.InvokeToolResponse()


@asynccontextmanager
async def tools_server(credentials=None):
    server, tools = grpc.aio.server(), RecordingTools()
    tool_service_pb2_grpc.add_ToolServiceServicer_to_server(tools, server)
    plugin_service_pb2_grpc.add_PluginServiceServicer_to_server(tools, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield tools, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def peers_at(address, **sections):
    peers = NetworkPeers(SharedSettings.model_validate({"peers": {"plugins": address}, **sections}))
    try:
        yield peers
    finally:
        await peers.close()


@asynccontextmanager
async def stub_to(address, **sections):
    async with peers_at(address, **sections) as peers:
        yield tool_service_pb2_grpc.ToolServiceStub(peers.channel("plugins"))


LIST = tool_service_pb2.ListToolsRequest(plugin="x")


async def test_a_call_carries_the_service_token_and_the_running_calls_tenant():
    async with tools_server() as (tools, address), stub_to(address, auth={"service_token": TOKEN}) as stub:
        enter_caller(Caller(tenant="acme"))
        assert (await stub.ListTools(LIST, metadata=(("x-own", "kept"),))).next_page_token == "x"
        enter_caller(Caller(tenant="other"))
        assert [event async for event in stub.InvokeTool(tool_service_pb2.InvokeToolRequest())]
    for call, tenant in zip(tools.calls, ("acme", "other"), strict=True):
        assert (call["authorization"], call["x-clawdbot-tenant"]) == (f"Bearer {TOKEN}", tenant)
    assert tools.calls[0]["x-own"] == "kept"


async def test_without_a_service_token_no_tenant_is_sent():
    async with tools_server() as (tools, address), stub_to(address) as stub:
        await stub.ListTools(LIST)
    assert not {"authorization", "x-clawdbot-tenant"} & set(tools.calls[0])


async def test_only_retryable_methods_are_retried_after_unavailable():
    async with tools_server() as (tools, address), stub_to(address) as stub:
        tools.failures = 2
        assert (await stub.ListTools(LIST)).next_page_token == "x"
        assert len(tools.calls) == 3
        tools.failures = 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [event async for event in stub.InvokeTool(tool_service_pb2.InvokeToolRequest())]
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert len(tools.calls) == 4


async def test_methods_of_a_stub_made_after_the_first_call_are_retried_too():
    async with tools_server() as (tools, address), peers_at(address) as peers:
        early = tool_service_pb2_grpc.ToolServiceStub(peers.channel("plugins"))
        assert (await early.ListTools(LIST)).next_page_token == "x"
        plugins = plugin_service_pb2.ListPluginsRequest()
        late = plugin_service_pb2_grpc.PluginServiceStub(peers.channel("plugins"))
        for method, request in ((late.ListPlugins, plugins), (early.ListTools, LIST)):
            tools.calls.clear()
            tools.failures = 2
            await method(request)
            assert len(tools.calls) == 3


async def test_each_service_has_one_channel_and_an_unknown_service_has_none():
    addresses = {"plugins": "127.0.0.1:1", "dialogue": "127.0.0.1:2"}
    peers = NetworkPeers(SharedSettings.model_validate({"peers": addresses}))
    assert peers.channel("plugins") is peers.channel("plugins")
    assert peers.channel("plugins") is not peers.channel("dialogue")
    with pytest.raises(KeyError):
        peers.channel("weather")
    assert peers.channel("model_gateway") is None, "it has no address"
    await peers.close()


async def test_a_peer_is_called_over_mtls_and_new_certificates_are_used(tmp_path, monkeypatch):
    """Both ends change their authority, and the existing stub still works."""
    monkeypatch.setattr(peer_channel, "CHECK_INTERVAL", 0.0)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    first, second = authority("first"), authority("second")

    def write(ca):
        for folder, name in ((theirs, "tools"), (ours, "near")):
            folder.mkdir(exist_ok=True)
            certificate(name, ca).write(folder, "tls")
            (folder / "ca.pem").write_bytes(ca.certificate_pem)

    def files(folder, authority_key):
        found = {"cert_file": folder / "tls.pem", "key_file": folder / "tls.key"}
        return {**found, authority_key: folder / "ca.pem"}

    write(first)
    for path in (*theirs.iterdir(), *ours.iterdir()):
        os.utime(path, (1, 1))
    credentials = tls.server_credentials(TlsSettings(**files(theirs, "client_ca_file")))
    async with (
        tools_server(credentials) as (tools, address),
        stub_to(address, tls=files(ours, "peer_ca_file")) as stub,
    ):
        assert (await stub.ListTools(LIST)).next_page_token == "x"
        write(second)
        async with asyncio.timeout(20):
            assert (await stub.ListTools(LIST, wait_for_ready=True)).next_page_token == "x"
        assert len(tools.calls) == 2


def test_certificates_that_cannot_be_used_stop_the_start(tmp_path):
    with pytest.raises(StartupError, match="Cannot read"):
        NetworkPeers(SharedSettings.model_validate({"tls": {"peer_ca_file": tmp_path / "none.pem"}}))
