"""The clients of docs/clients.md, built and run with the commands of that page."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clawdbot_cli.settings import suite_settings
from clawdbot_cli.suite import running_suite

from tests.support.foreign import GO_CLIENT, run, tool

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # Go compiles gRPC the first time

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "clients.md").read_text()
GO, NODE = (
    re.search(rf"^## {language}\n.*?^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)[1]
    for language in ("Go", "Node")
)
KEY = "0123456789abcdef01234567"


@asynccontextmanager
async def suite(folder, **sections):
    """A suite on any free port, with a model that repeats what it is told; its address."""
    settings = {
        "state_dir": folder / "state",
        "server.port": 0,
        "telemetry.metrics_port": None,
        "model": {"provider": "echo"},
        **sections,
    }
    async with running_suite(suite_settings(None, settings)) as running:
        yield running.address


@pytest.fixture(scope="session")
def go_environment(tmp_path_factory):
    """Where the page's commands for Go run: a copy of the sources, and a `protoc` on the PATH."""
    go = tool("go", "https://go.dev/dl; CI has it")
    tree = tmp_path_factory.mktemp("go")
    generated = shutil.ignore_patterns("clawdbot", "build")
    shutil.copytree(GO_CLIENT, tree / GO_CLIENT.relative_to(ROOT), ignore=generated)
    shutil.copytree(ROOT / "protos", tree / "protos")
    protoc = tree / "bin" / "protoc"
    protoc.parent.mkdir()
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    return tree, {"PATH": f"{protoc.parent}:{Path(go).parent}:{os.environ['PATH']}"}


@pytest.fixture
async def go_client(go_environment):
    """The compiled client, built by the commands before the first `go run`."""
    tree, environment = go_environment
    program = tree / "client"
    if not program.exists():
        build = f"set -e\n{GO.partition('go run')[0]}go build -o {program} .\n"
        code, _, errors = await run("bash", "-c", build, cwd=tree, environment=environment)
        assert code == 0, errors

    async def call(*arguments):
        code, output, errors = await run(str(program), *arguments)
        events = [json.loads(line) for line in output.splitlines()]
        return (events, None) if code == 0 else (events, json.loads(errors))

    return call


async def test_the_commands_for_go_work_as_written(go_environment, tmp_path):
    tree, environment = go_environment
    async with suite(tmp_path) as address:
        commands = f"set -e\n{GO.replace('localhost:8080', address)}"
        code, output, errors = await run(
            "bash", "-c", commands, cwd=tree, environment={"CLAWDBOT_API_KEY": "", **environment}
        )
    assert code == 0, errors
    assert "Booked. Reference" in output
    assert '"finished"' in output.splitlines()[-1]


async def test_the_commands_for_node_work_as_written(tmp_path):
    tool("node", "the distribution's nodejs")
    tool("npm", "the distribution's npm")
    client = Path("tests/integration/node_client")
    shutil.copytree(ROOT / client, tmp_path / client, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    async with suite(tmp_path) as address:
        commands = f"set -e\n{NODE.replace('localhost:8080', address)}"
        code, output, errors = await run("bash", "-c", commands, cwd=tmp_path)
    assert code == 0, errors
    assert "Booked. Reference" in output


async def test_go_holds_a_conversation(go_client, tmp_path):
    async with suite(tmp_path) as address:
        events, error = await go_client(
            address, "converse", "book_table", "a table for 4 tomorrow at 7pm", "yes"
        )
    assert error is None
    last = events[-1]["turnFinished"]
    assert last["session"]["status"] == "SESSION_STATUS_ENDED"
    assert last["session"]["slots"]["party_size"] == 4
    assert last["turn"]["replies"][0]["parts"][0]["text"].startswith("Booked. Reference ")


async def test_go_gets_a_reply_whole_or_streamed(go_client, tmp_path):
    async with suite(tmp_path) as address:
        whole, _ = await go_client(address, "generate", "one two three")
        events, _ = await go_client(address, "stream", "one two three")
    text = "".join(part["text"] for part in whole[0]["message"]["parts"])
    assert "one two three" in text
    assert "".join(event["textDelta"]["text"] for event in events if "textDelta" in event) == text
    assert events[-1]["finished"]["finishReason"] == whole[0]["finishReason"]


async def test_go_reads_the_reason_of_an_error(go_client, tmp_path):
    async with suite(tmp_path) as address:
        _, error = await go_client(address, "converse", "book_tabel", "hi")
    assert (error["code"], error["reason"], error["domain"]) == ("NotFound", "FLOW_NOT_FOUND", "clawdbot.dev")
    assert "book_table" in error["message"]


async def test_go_reads_which_field_is_wrong(go_client, tmp_path):
    async with suite(tmp_path) as address:
        _, error = await go_client(address, "converse", "book_table", "")
    assert (error["code"], error["reason"]) == ("InvalidArgument", "INVALID_REQUEST")
    assert error["fields"].keys() == {"text"}


async def test_go_reads_when_to_try_again(go_client, tmp_path):
    plugins = [{"rate_limiter": {"generations": "1/minute"}}]
    async with suite(tmp_path, plugins=plugins) as address:
        _, first = await go_client(address, "generate", "one")
        _, second = await go_client(address, "generate", "two")
    assert first is None
    assert (second["code"], second["reason"]) == ("ResourceExhausted", "RATE_LIMITED")
    assert 0 < second["retry_seconds"] <= 60


async def test_go_sends_a_key(go_client, tmp_path):
    auth = {"keys": [{"id": "gopher", "key": KEY}]}
    async with suite(tmp_path, auth=auth) as address:
        _, without = await go_client(address, "generate", "hi")
        _, wrong = await go_client("-key", "f" * 24, address, "generate", "hi")
        reply, error = await go_client("-key", KEY, address, "generate", "hi")
    assert (without["code"], without["reason"]) == ("Unauthenticated", "UNAUTHENTICATED")
    assert wrong["code"] == "Unauthenticated"
    assert error is None
    assert reply


async def test_go_sends_a_deadline(go_client, tmp_path):
    """The model is silent until the caller gives up."""
    model = {"provider": "scripted", "replies": [{"text": "never", "fault": "hang"}]}
    async with suite(tmp_path, model=model) as address:
        _, error = await go_client("-timeout", "500ms", address, "generate", "hi")
    assert error["code"] == "DeadlineExceeded"
