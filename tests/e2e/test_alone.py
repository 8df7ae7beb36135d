"""A service without peers: it says so when it starts, serves what it can, and waits for nobody."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_plugin_client.hooks import FIRST_SNAPSHOT_TIMEOUT

from tests.e2e.conversation_contract import BOOKING, question
from tests.support.conditions import until
from tests.support.dialogue_client import said, talk
from tests.support.ports import free_port
from tests.support.processes import process

pytestmark = pytest.mark.integration

QUICK = FIRST_SNAPSHOT_TIMEOUT
"""Seconds: the shortest wait for a peer."""


@asynccontextmanager
async def quickly():
    """What is inside waits for no peer."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < QUICK


async def test_a_gateway_without_plugins_generates_at_once_and_says_that_no_hook_is_asked(tmp_path):
    environment = {"CLAWDBOT_MODEL__PROVIDER": "echo"}
    async with process("clawdbot_model_gateway", state=tmp_path, environment=environment) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel, quickly():
            stub = ModelGatewayServiceStub(channel)
            reply = await stub.Generate(question("Hello"), timeout=60)
        assert "Hello" in reply.message.parts[0].text
        log = gateway.log.read_text()
    assert "Clawdbot model gateway is serving on" in log
    assert log.count("peers.plugins is not set: no hook is asked") == 2, "in the banner and in the log"
    assert "dependency_absent" in log


async def test_a_dialogue_without_peers_serves_what_it_can_and_says_what_it_lacks(tmp_path):
    async with process("clawdbot_dialogue", state=tmp_path) as service:
        async with quickly(), talk(service.address, "book_table") as booking:
            assert booking.opening == "For how many people?"
            assert said(await booking.say(BOOKING)).startswith("Shall I book a table for 4 on ")
            failed = await booking.say("yes")
        assert failed.status == TURN_STATUS_DONE
        (record,) = failed.tool_calls
        assert record.result.is_error
        assert record.result.structured["reason"] == "PLUGINS_NOT_CONFIGURED"
        async with quickly(), talk(service.address, "chat") as chat:
            turn = await chat.say("Hello")
        assert (turn.error.reason or said(turn)) != ""
        log = service.log.read_text()
    for sentence in (
        "peers.plugins is not set: turns that call a tool fail, and no hook is asked",
        "peers.model_gateway is not set: turns that need a model fail",
    ):
        assert log.count(sentence) == 2, "in the banner and in the log"


async def test_a_configured_peer_is_needed_even_before_it_was_ever_there(tmp_path):
    environment = {"CLAWDBOT_MODEL__PROVIDER": "echo", "CLAWDBOT_PEERS__PLUGINS": f"127.0.0.1:{free_port()}"}
    starting = process("clawdbot_model_gateway", state=tmp_path, environment=environment)
    serving = asyncio.create_task(starting.__aenter__())
    try:
        await until(
            lambda: any('"dependency":"plugins"' in log.read_text() for log in tmp_path.glob("*.log")), 60
        )
        await asyncio.sleep(1)
        assert not serving.done()
    finally:
        serving.cancel()
        await asyncio.wait([serving])
