"""`clawdbot up` shows where it serves and what to try, drains, and reports mistakes in one sentence."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import socket
import sys
import time

import grpc.aio
import pytest
from clawdbot.dialogue.v1.flow_service_pb2 import ListFlowsRequest
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub

from tests.support.commands import clawdbot, command_environment, running_clawdbot
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

QUIET = {"CLAWDBOT_TELEMETRY__METRICS_PORT": "0"}


async def test_the_banner_shows_what_is_running_where(tmp_path, record_property):
    port, started = free_port(), time.perf_counter()
    async with running_clawdbot("up", "--port", str(port), state=tmp_path, environment=QUIET) as suite:
        banner = await suite.wait_for("how to use it")
        record_property("seconds_to_serving", time.perf_counter() - started)
        assert f"is serving on 127.0.0.1:{port}" in banner
        assert "dialogue, model gateway, plugins" in banner
        for label, value in {
            "access": "anyone on this machine",
            "store": str(tmp_path),
            "models": "echo",
            "flows": "book_table",
            "plugins": "calculator",
            "metrics": "/metrics",
        }.items():
            assert re.search(rf"^ +{label} .*{re.escape(value)}", banner, re.MULTILINE), banner
        assert "\x1b" not in banner
        assert await suite.stop(signal.SIGINT) == 0
    assert "Traceback" not in suite.err


async def test_the_chat_that_the_banner_proposes_works_as_printed(tmp_path):
    async with running_clawdbot("up", "--port", str(free_port()), state=tmp_path, environment=QUIET) as suite:
        banner = await suite.wait_for("how to use it")
        (line,) = (each for each in banner.splitlines() if " chat --flow" in each)
        words = shlex.split(line, comments=True)
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=command_environment(tmp_path),
        )
        out, _ = await process.communicate(b"/state\n")
        assert process.returncode == 0
        assert "book_table" in out.decode()


async def test_every_worker_is_the_whole_suite(tmp_path):
    """The supervisor prints one banner, when all workers are serving."""
    port = free_port()
    options = ("--port", str(port), "--workers", "2")
    async with running_clawdbot("up", *options, state=tmp_path, environment=QUIET) as suite:
        await suite.wait_for("how to use it")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            reply = await FlowServiceStub(channel).ListFlows(ListFlowsRequest(), timeout=10)
        assert {"book_table", "chat"} <= {flow.name for flow in reply.flows}
        assert await suite.stop(signal.SIGTERM) == 0
    assert suite.out.count("is serving on") == 1


async def startup_error(tmp_path, *options: str, **environment: str) -> str:
    """The error of a start that fails; it is one sentence, without traceback."""
    result = await clawdbot("up", *options, state=tmp_path, environment={**QUIET, **environment})
    assert result.code == 2, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    (sentence,) = (line for line in result.err.splitlines() if line and not line.startswith("{"))
    return sentence


async def test_a_taken_port_is_refused_with_the_option_to_change_it(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        sentence = await startup_error(tmp_path, "--port", str(port))
    assert sentence.startswith(f"Port {port} on 127.0.0.1 is taken.")
    assert "--port" in sentence


async def test_an_unwritable_state_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    sentence = await startup_error(tmp_path, "--port", "0", "--state-dir", str(tmp_path / "file" / "state"))
    assert str(tmp_path / "file" / "state") in sentence
    assert "CLAWDBOT_STATE_DIR" in sentence


async def test_an_unknown_key_is_refused_with_its_position_and_the_right_one(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("server:\n  prot: 9000\n")
    sentence = await startup_error(tmp_path, "--config", str(config))
    assert sentence == f"{config}:2: unknown key server.prot; did you mean server.port?"


async def test_a_broken_flow_is_refused_with_its_position(tmp_path):
    flow = tmp_path / "mine.yaml"
    flow.write_text("flow: mine\nversion: 1\nstates:\n  a: {say: hello, nxet: b}\n")
    result = await clawdbot(
        *("up", "--port", "0"), state=tmp_path, environment={**QUIET, "CLAWDBOT_FLOWS": f'["{flow}"]'}
    )
    assert result.code == 2
    assert f"{flow}:4:" in result.err
    assert "Traceback" not in result.err


async def test_an_invalid_option_is_named(tmp_path):
    assert (
        await startup_error(tmp_path, "--workers", "0") == "--workers: server.workers: expected at least 1."
    )


async def test_the_command_line_overrides_the_environment_and_that_the_file(tmp_path):
    (tmp_path / "clawdbot.yaml").write_text("server: {port: 1}\n")
    port = free_port()
    environment = {**QUIET, "CLAWDBOT_SERVER__PORT": "2"}
    async with running_clawdbot("up", "--port", str(port), state=tmp_path, environment=environment) as suite:
        assert f"is serving on 127.0.0.1:{port}" in await suite.wait_for("is serving on")


async def test_the_key_of_clients_is_not_a_setting_of_the_suite(tmp_path):
    environment = {**QUIET, "CLAWDBOT_API_KEY": "cb_test_0123456789"}
    async with running_clawdbot("up", "--port", "0", state=tmp_path, environment=environment) as suite:
        await suite.wait_for("is serving on")


async def test_help_imports_no_service():
    """It appears at once: nothing slow is imported for it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "clawdbot_cli", "--help"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0
    assert all(command in out.decode() for command in ("up", "chat", "version"))
    imported = {line.rpartition("|")[2].strip() for line in err.decode().splitlines()}
    assert not imported & {"grpc", "prompt_toolkit", "clawdbot_dialogue", "aiohttp"}


async def test_the_banner_of_an_open_server_says_who_may_call(tmp_path):
    options = ("up", "--host", "0.0.0.0", "--port", str(free_port()))
    async with running_clawdbot(*options, state=tmp_path, environment=QUIET) as suite:
        banner = await suite.wait_for("how to use it")
        assert re.search(r"anyone who can reach 0\.0\.0\.0:\d+ may talk; admin calls only", banner)
        await suite.stop(signal.SIGINT)
    assert "listening_without_keys" in suite.err


async def test_a_service_token_that_can_be_guessed_stops_the_start(tmp_path):
    (tmp_path / "clawdbot.yaml").write_text("auth: {service_token: abc}\n")
    message = await startup_error(tmp_path)
    assert "auth.service_token: the service token is too short to be a secret: use at least 24" in message
    assert "`openssl rand -hex 24`" in message
