"""A first configuration: three lines, and an endpoint from the environment."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot_servicekit.error_table import remote_error

from tests.support.dialogue_client import said, talk
from tests.support.fake_openai import KEY, fake_openai
from tests.support.processes import process
from tests.support.topologies import three_processes

pytestmark = pytest.mark.integration

README = Path(__file__).resolve().parents[2] / "README.md"
THREE_LINES = """\
model: {provider: openai_compatible, max_tokens: 2048, temperature: 0.7}
server: {host: 0.0.0.0, port: 8080, workers: 4}
plugins: [rate_limiter, audit_log]
"""


async def test_three_lines_start_four_workers_that_run_conversations(tmp_path):
    """Verbatim, except for the port. A conversation's turns use different connections, to any worker."""
    config = tmp_path / "clawdbot.yaml"
    config.write_text(THREE_LINES)
    async with fake_openai() as backend:
        environment = {
            "OPENAI_BASE_URL": backend.url,
            "OPENAI_API_KEY": KEY,
            "CLAWDBOT_CONFIG": str(config),
        }
        async with process("clawdbot_cli", "up", state=tmp_path, environment=environment) as suite:
            for _ in range(3):
                async with talk(suite.address, "book_table") as booking:
                    await booking.say("a table for 4 tomorrow at 7pm")
                    session = booking.session.id
                async with grpc.aio.insecure_channel(suite.address) as channel:
                    request = pb.SendTurnRequest(session_id=session, text="yes")
                    reply = await DialogueServiceStub(channel).SendTurn(request, timeout=30)
                assert said(reply.turn).startswith("Booked. Reference ")
            async with talk(suite.address, "chat") as chat:
                assert said(await chat.say("hello")) == "Good evening."
    assert backend.last["max_tokens"] == 2048
    assert backend.last["temperature"] == 0.7
    log = suite.log.read_text()
    assert KEY not in log
    assert "listening_without_keys" in log
    (audit,) = (tmp_path / "plugins" / "audit_log").glob("*.jsonl")
    assert "turn_done" in audit.read_text()


async def test_three_processes_share_a_file_with_a_port_when_a_variable_gives_each_its_own(tmp_path):
    config = tmp_path / "clawdbot.yaml"
    config.write_text(THREE_LINES)
    async with fake_openai() as backend:
        environment = {
            "OPENAI_BASE_URL": backend.url,
            "OPENAI_API_KEY": KEY,
            "CLAWDBOT_CONFIG": str(config),
            "CLAWDBOT_SERVER__WORKERS": "1",
        }
        async with three_processes(tmp_path, environment) as topology:
            async with talk(topology.dialogue, "book_table") as booking:
                await booking.say("a table for 4 tomorrow at 7pm")
                assert said(await booking.say("yes")).startswith("Booked. Reference ")
            async with talk(topology.dialogue, "chat") as chat:
                assert said(await chat.say("hello")) == "Good evening."
    for service, port in (("plugins", 8083), ("model_gateway", 8082), ("dialogue", 8081)):
        assert f"CLAWDBOT_SERVER__PORT={port} .venv/bin/python -m clawdbot_{service}\n" in README.read_text()


def test_the_readme_shows_these_three_lines():
    assert THREE_LINES in README.read_text()


async def test_with_keys_a_caller_without_one_is_unauthenticated(tmp_path):
    key = "cb_test_0123456789abcdef"
    environment = {"CLAWDBOT_AUTH__KEYS": f'[{{"id": "one", "tenant": "acme", "key": "{key}"}}]'}
    async with (
        process("clawdbot_cli", "up", state=tmp_path, environment=environment) as suite,
        grpc.aio.insecure_channel(suite.address) as channel,
    ):
        stub = DialogueServiceStub(channel)
        request = pb.CreateSessionRequest(flow="book_table")
        created = await stub.CreateSession(request, metadata=(("authorization", f"Bearer {key}"),))
        assert created.session.tenant == "acme"
        for metadata in ((), (("x-api-key", key[::-1]),)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateSession(request, metadata=metadata)
            assert remote_error(caught.value).code == "UNAUTHENTICATED"
            assert key not in str(caught.value)
    assert key not in suite.log.read_text()
