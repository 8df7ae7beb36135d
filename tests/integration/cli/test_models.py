"""`clawdbot models …` as a person calls it, with a gateway alone and with a suite in its own process."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import DrainBackendRequest

from tests.support.commands import clawdbot, command_environment
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port
from tests.support.terminal import terminal

pytestmark = pytest.mark.integration


async def test_models_of_a_running_gateway_are_listed_tested_and_counted_with(tmp_path):
    async with fake_openai() as backend:
        backend.tokenizes = "vllm"
        async with gateway(tmp_path / "g", model=compatible(backend.url, api_key=KEY)) as served:
            at = ("--addr", f"127.0.0.1:{served.host.port}")
            listed = await clawdbot("models", "list", *at, state=tmp_path)
            tested = await clawdbot("models", "test", "chat", *at, state=tmp_path)
            strict = await clawdbot("models", "test", "--strict", "chat", *at, state=tmp_path)
            counted = await clawdbot("models", "tokens", "-", *at, state=tmp_path, lines="one two three")
    assert (listed.code, tested.code, counted.code) == (0, 0, 0)
    assert strict.code == 1
    assert strict.out.splitlines()[1] == tested.out.splitlines()[1]
    assert "openai_compatible/fake-1" in listed.out
    assert backend.url in listed.out
    assert "8,192" in listed.out
    assert tested.out.splitlines()[0].startswith("✓ replies: first token after ")
    assert tested.out.splitlines()[1] == "✗ calls a tool: the reply has no tool call (STOP)"
    assert tested.err == "chat is openai_compatible/fake-1.\n"
    assert counted.out == "3 tokens, counted by the backend (13 characters)\n"


async def test_what_was_used_is_a_table(tmp_path):
    model = {"provider": "echo", "prices": {"*": {"output": 1_000_000}}}
    async with gateway(tmp_path / "g", model=model) as served:
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        empty = await clawdbot("models", "usage", *at, state=tmp_path)
        for _ in range(2):
            await served.client.gateway.Generate(asks("one two three", model="chat"))
        used = await clawdbot("models", "usage", *at, state=tmp_path)
        by_key = await clawdbot("models", "usage", "--by", "key", *at, state=tmp_path)
        wrong = await clawdbot("models", "usage", "--by", "keys", *at, state=tmp_path)
        no_day = await clawdbot("models", "usage", "--first", "30.11.", *at, state=tmp_path)
    assert (empty.code, empty.out, empty.err) == (0, "", "Nothing was used in this time.\n")
    head, row, *_ = used.out.splitlines()
    assert head.split() == ["tenant", "model", "calls", "input", "cached", "output", "cost", "$"]
    cells = row.split()
    assert cells[:3] == ["default", "echo/echo", "2"]
    assert float(cells[-1].lstrip("~")) == int(cells[-2]) > 0
    assert by_key.out.splitlines()[1].split()[:2] == ["-", "2"]
    assert (wrong.code, wrong.err) == (2, "--by keys: use day, tenant, key, model, or several of them.\n")
    assert no_day.code == 2
    assert "Must be a day such as 2026-11-30" in no_day.err


async def test_a_model_that_does_not_reply_is_exit_code_1(tmp_path):
    model = {"provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1", "name": "m"}
    async with gateway(tmp_path / "g", model=model) as served:
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        tested = await clawdbot("models", "test", "chat", *at, state=tmp_path)
        unknown = await clawdbot("models", "test", "chta", *at, state=tmp_path)
    assert tested.code == 1
    assert tested.out.startswith("✗ replies: openai_compatible/m: ")
    assert "BACKEND_UNREACHABLE" in tested.out
    assert (unknown.code, unknown.out) == (2, "")
    assert "Did you mean chat?" in unknown.err


async def test_without_a_running_suite_one_is_started(tmp_path):
    (tmp_path / "clawdbot.yaml").write_text("model: {provider: echo}\nserver: {port: 1}\n")
    (tmp_path / "text").write_text("晚上好\n")
    result = await clawdbot("models", "tokens", "text", state=tmp_path)
    assert result.code == 0
    assert "estimated" in result.out
    assert "Starting one in this process." in result.err


async def test_a_text_that_is_too_large_is_refused_with_the_setting_to_raise(tmp_path):
    (tmp_path / "huge").write_bytes(b"word " * 1_000_000)
    async with gateway(tmp_path / "g") as served:
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        result = await clawdbot("models", "tokens", "huge", *at, state=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == "huge: too large for one request. Raise server.max_message on the server.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--addr", "127.0.0.1:1"), "No server is listening at 127.0.0.1:1."),
        (("list", "--addr", "127.0.0.1:1", "--config", "x.yaml"), "not both"),
        (("tokens", "missing"), "missing: cannot be read"),
        (("tokens", "binary"), "binary: not UTF-8 text."),
    ],
)
async def test_what_a_person_can_fix_is_one_sentence(tmp_path, arguments, message):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    result = await clawdbot("models", *arguments, state=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


async def test_top_shows_the_load_of_a_running_gateway(tmp_path):
    async with (
        fake_openai() as backend,
        gateway(tmp_path / "g", model=compatible(backend.url, api_key=KEY)) as served,
    ):
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        for _ in range(3):
            await served.client.gateway.Generate(asks("hello"))
        shown = await clawdbot("models", "top", "--once", "--interval", "0.2", *at, state=tmp_path)
        piped = await clawdbot("models", "top", "--interval", "0.2", *at, state=tmp_path)
    assert (shown.code, piped.code) == (0, 0)
    for out in (shown.out, piped.out):
        head, row = out.splitlines()
        assert head.split()[:2] == ["backend", "state"]
        assert row.split()[:3] == ["openai_compatible", "ok", "0/500"]
        assert "\x1b" not in out


async def test_top_shows_what_was_spent_and_which_breaker_is_open(tmp_path):
    dead = {**compatible("http://127.0.0.1:1/v1", api_key=KEY), "models": ["m"], "breaker": {"failures": 1}}
    parrot = {"provider": "echo", "prices": {"*": {"output": 1_000_000}}}
    models = {"backends": {"dead": dead, "parrot": parrot}, "aliases": {"chat": "parrot/*"}}
    async with gateway(tmp_path / "g", models=models) as served:
        await served.client.gateway.Generate(asks("one two three", model="chat"))
        with pytest.raises(grpc.aio.AioRpcError):
            await served.client.gateway.Generate(asks("hello", model="dead/m"))
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        shown = await clawdbot("models", "top", "--once", "--interval", "0.2", *at, state=tmp_path)
        listed = await clawdbot("models", "list", *at, state=tmp_path)
    assert any(each.startswith("dead ") and each.endswith("breaker open") for each in listed.out.splitlines())
    _, broken, priced = shown.out.splitlines()
    assert broken.split()[:3] == ["dead", "breaker", "open"]
    assert broken.split()[-1] == "–"
    assert float(priced.split()[-1]) == float(priced.split()[-2]) > 0


@pytest.mark.parametrize(
    "command", [("models", "top", "--once"), ("models", "list"), ("models", "usage"), ("chat",)]
)
async def test_a_port_that_cannot_exist_is_one_sentence_for_each_command(tmp_path, command):
    result = await clawdbot(*command, "--addr", "127.0.0.1:99999", state=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("--addr 127.0.0.1:99999: there is no port 99999.")
    assert len(result.err.splitlines()) == 1


async def test_top_waits_for_a_server_that_comes_back(tmp_path):
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = ("clawdbot_cli", "models", "top", "--interval", "0.2", "--addr", address)
    model = {"provider": "echo", "models": ["m"]}
    async with AsyncExitStack() as stack:
        async with gateway(tmp_path / "g", server={"port": port}, model=model):
            screen = await stack.enter_async_context(
                terminal(*command, environment=command_environment(tmp_path), columns=160)
            )
            await screen.wait_for("out tok/s")
        await screen.wait_for("asked again")
        assert address in screen.text
        back = {**model, "provider": "scripted", "replies": [{"text": "hi"}]}
        async with gateway(tmp_path / "g", server={"port": port}, model=back):
            await screen.wait_for("scripted")
            screen.type(chr(3))
            assert await screen.exit_code() == 0


async def test_top_is_live_in_a_terminal_until_ctrl_c(tmp_path):
    async with (
        fake_openai() as backend,
        gateway(tmp_path / "g", model=compatible(backend.url, api_key=KEY)) as served,
    ):
        address = f"127.0.0.1:{served.host.port}"
        command = ("clawdbot_cli", "models", "top", "--interval", "0.2", "--addr", address)
        async with terminal(*command, environment=command_environment(tmp_path), columns=160) as screen:
            await screen.wait_for("openai_compatible")
            await screen.wait_for("out tok/s", times=3)
            screen.type(chr(3))
            assert await screen.exit_code() == 0


@asynccontextmanager
async def many_backends(tmp_path, **server):
    """A gateway with fifty backends, of which the last one alone has had a request, and one is draining."""
    names = [f"backend-{number:02}" for number in range(50)]
    models = {"backends": {each: {"provider": "echo", "models": ["m"]} for each in names}}
    async with gateway(tmp_path / "g", models=models, server=server) as served:
        await served.client.gateway.Generate(asks("hello", model=f"{names[-1]}/m"))
        await served.client.admin.DrainBackend(DrainBackendRequest(backend=names[30]))
        yield served


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        (200, "backend state in flight queue conns idle req/s errors in tok/s out tok/s cached cost today"),
        (80, "backend state in flight queue req/s errors out tok/s today"),
        (40, "backend state in flight queue"),
        (10, "backend"),
    ],
)
async def test_top_shows_what_matters_most_where_not_all_has_room(tmp_path, columns, heads):
    async with many_backends(tmp_path) as served:
        command = ("clawdbot_cli", "models", "top", "--addr", f"127.0.0.1:{served.host.port}")
        async with terminal(
            *command, environment=command_environment(tmp_path), columns=columns, rows=8
        ) as screen:
            await screen.wait_for("… and 44" if columns > 10 else "… and", times=2)
            shown = [" ".join(each.split()) for each in screen.text.splitlines()]
            assert next(each for each in shown if each.startswith("backend")) == heads
            if columns > 10:
                names = {each.split()[0] for each in shown if each.startswith("backend-")}
                assert names == {"backend-30", "backend-49", *(f"backend-0{number}" for number in range(4))}
            screen.type(chr(3))
            assert await screen.exit_code() == 0


async def test_top_says_that_the_server_is_away_above_a_table_that_fills_the_screen(tmp_path):
    port = free_port()
    command = ("clawdbot_cli", "models", "top", "--interval", "0.2", "--addr", f"127.0.0.1:{port}")
    async with AsyncExitStack() as stack:
        async with many_backends(tmp_path, port=port):
            screen = await stack.enter_async_context(
                terminal(*command, environment=command_environment(tmp_path), columns=80, rows=12)
            )
            await screen.wait_for("… and 40 more")
        await screen.wait_for("asked again")
        await screen.wait_for("… and 43 more")
        screen.type(chr(3))
        assert await screen.exit_code() == 0


async def test_top_prints_once_where_the_screen_cannot_be_drawn_again(tmp_path):
    async with many_backends(tmp_path) as served:
        command = ("clawdbot_cli", "models", "top", "--addr", f"127.0.0.1:{served.host.port}")
        environment = {**command_environment(tmp_path), "TERM": "dumb"}
        async with terminal(*command, environment=environment) as screen:
            await screen.wait_for("backend-49")
            assert await screen.exit_code() == 0
            assert sum(each.startswith("backend-") for each in screen.text.splitlines()) == 50
            assert "\x1b" not in screen.raw
