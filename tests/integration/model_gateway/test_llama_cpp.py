"""A model file that the gateway runs: loaded without blocking the event loop, restarted, and cleaned up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import threading
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM
from clawdbot.model_gateway.v1.generation_pb2 import ResponseFormat
from clawdbot_model_gateway.core.errors import BackendFailed, ContextTooLong, ModelMissing, RequestRefused
from clawdbot_model_gateway.core.provider import TextCounter, TokenCounter
from clawdbot_servicekit.errors import StartupError

from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, collect, finish_of, says, text_of
from tests.support.providers import make, started
from tests.support.tiny_model import CONTEXT, REPLY, write_tiny_model

MAX_STALL = 0.2
"""Seconds of this process's processor time. Far more than one iteration of the event loop takes."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def llama(path, **more):
    # Its threads spin while they wait for each other, which on a busy machine takes most of the time.
    return make(provider="llama_cpp", path=str(path), threads=1, **more)


@pytest.fixture
async def provider(file):
    async for each in started(llama(file)):
        yield each


def endless(**more):
    request = asks(**more)
    request.provider_options.update({"ignore_eos": True})
    return request


def folder_of(provider):
    return Path(provider._process._spec.socket).parent


async def busy_slots(provider):
    connector = aiohttp.UnixConnector(provider._process._spec.socket)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/slots") as answer,
    ):
        return sum(each["is_processing"] for each in await answer.json())


async def all_free(provider):
    return not await busy_slots(provider)


# Requests


async def test_a_gateway_needs_only_the_file(file, tmp_path):
    async with gateway(tmp_path, model={"provider": "llama_cpp", "path": str(file), "threads": 1}) as served:
        events = await served.client.events(asks())
        check_grammar(events)
        assert (text_of(events), finish_of(events)) == (REPLY, "stop")
        reply = await served.client.gateway.Generate(asks())
        assert (reply.model, reply.backend) == ("tiny", "llama_cpp")
        assert reply.usage.input_tokens > reply.usage.output_tokens == 4
        assert served.application.describe()["models"] == (
            "chat is llama_cpp/tiny (the first model that it lists)",
        )


async def test_it_lists_its_context_length(file):
    async for provider in started(llama(file, context_length=1024)):
        await provider.generate(asks(), "tiny")
        (listed,) = await provider.list_models()
        assert (listed.name, listed.context_length) == ("tiny", 1024)
    assert CONTEXT > 1024


async def test_a_prompt_that_is_too_long_is_context_too_long(file):
    async for provider in started(llama(file, context_length=256)):
        with pytest.raises(ContextTooLong):
            await provider.generate(asks("long " * 200), "tiny")


async def test_tokens_are_counted_as_they_are_billed(provider):
    assert isinstance(provider, TokenCounter)
    request = asks(says("Be brief.", ROLE_SYSTEM), "Good evening", "你好")
    usage = (await provider.generate(request, "tiny"))[-2].usage
    assert await provider.count_tokens(request, "tiny") == usage.input_tokens > 20
    assert isinstance(provider, TextCounter)
    assert await provider.count_text("Good", "tiny") < await provider.count_text("Good evening", "tiny")


async def test_texts_are_embedded_if_pooling_is_configured(file):
    async for provider in started(llama(file, pooling="mean")):
        embedded = await provider.embed(["Good evening", "Bad morning", "Good evening"], "tiny", None)
        first, second, third = embedded.vectors
        assert len(first) == len(second) == 64
        assert first == pytest.approx(third, abs=1e-4)
        assert first != pytest.approx(second, abs=1e-2)
        assert embedded.usage.input_tokens > 20
        assert text_of(await provider.generate(asks(), "tiny")) == REPLY


async def test_without_pooling_an_embedding_is_refused_with_advice(provider):
    with pytest.raises(RequestRefused, match="set `pooling`"):
        await provider.embed(["Good evening"], "tiny", None)


async def test_a_reply_matches_its_schema(provider):
    response_format = ResponseFormat()
    response_format.json_schema.schema.update(
        {"type": "object", "properties": {"day": {"enum": ["sat", "sun"]}}, "required": ["day"]}
    )
    response_format.json_schema.schema["additionalProperties"] = False
    sampling = {"max_tokens": 300}
    events = await provider.generate(asks(response_format=response_format, sampling=sampling), "tiny")
    assert json.loads(text_of(events))["day"] in {"sat", "sun"}


async def test_another_model_is_missing(provider):
    with pytest.raises(ModelMissing, match="this backend has only the model tiny"):
        await provider.generate(asks(), "huge")


# Slots and the event loop


async def longest_stall(path):
    """The event loop's longest stall while the file loads and generates, and the reply.

    In processor time: a busy machine stops this process for any time.
    """
    longest = 0.0
    over = asyncio.Event()

    async def watch():
        nonlocal longest
        last = time.process_time()
        while not over.is_set():
            await asyncio.sleep(0.001)
            now = time.process_time()
            longest, last = max(longest, now - last), now

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        async for provider in started(llama(path)):
            events = await collect(provider.stream(endless(sampling={"max_tokens": 20}), "large"))
        over.set()
    return longest, events


async def test_the_event_loop_keeps_running_while_a_large_file_loads_and_generates(tmp_path):
    """In a thread of the gateway, llama.cpp would hold the interpreter's lock during the whole load."""
    path = write_tiny_model(tmp_path / "large.gguf", width=1024, inner=8192)
    assert path.stat().st_size > 200_000_000
    stall, events = await longest_stall(path)
    path.unlink()
    assert finish_of(events) == "length"
    assert stall < MAX_STALL


@pytest.mark.parametrize("slots", [1, 2])
async def test_closing_a_stream_frees_its_slot(file, slots):
    async for provider in started(llama(file, slots=slots)):
        async with aclosing(provider.stream(endless(), "tiny")) as events:
            async for event in events:
                if event.WhichOneof("event") == "text_delta":
                    break
            assert await busy_slots(provider) == 1
        await until(partial(all_free, provider))
        assert text_of(await provider.generate(asks(), "tiny")) == REPLY


async def test_more_requests_than_slots_wait_for_their_turn(provider):
    replies = await asyncio.gather(*(provider.generate(asks(f"number {each}"), "tiny") for each in range(12)))
    assert {text_of(each) for each in replies} == {REPLY}


async def test_a_caller_cancelled_during_the_load_does_not_cancel_it_for_the_others(file):
    async for provider in started(llama(file)):
        cancelled = asyncio.create_task(provider.generate(asks(), "tiny"))
        waiting = asyncio.create_task(provider.generate(asks(), "tiny"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert text_of(await waiting) == REPLY
        assert cancelled.cancelled()


# Stopping and restarting


async def test_stopping_leaves_no_process_folder_task_or_thread(file):
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    provider = llama(file)
    await provider.start()
    await provider.generate(asks(), "tiny")
    pid, folder = provider._process.pid, folder_of(provider)
    assert folder.stat().st_mode & 0o777 == 0o700
    await provider.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    assert len(asyncio.all_tasks()) == tasks
    assert [each for each in threading.enumerate() if "asyncio" not in each.name][threads:] == []


async def test_stopping_during_the_load_ends_it(file):
    provider = llama(file)
    await provider.start()

    async def running():
        return provider._process.pid is not None

    await until(running)
    pid = provider._process.pid
    await provider.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder_of(provider).exists()


async def test_a_caller_waiting_for_a_load_that_is_stopped_gets_an_error(file):
    provider = llama(file)
    await provider.start()
    waiting = asyncio.create_task(provider.generate(asks(), "tiny"))
    await asyncio.sleep(0)
    await provider.stop()
    with pytest.raises(BackendFailed, match="has been stopped"):
        await waiting


async def test_a_request_after_the_stop_starts_no_process(file):
    provider = llama(file)
    await provider.start()
    await provider.stop()
    with pytest.raises(BackendFailed, match="has been stopped"):
        await provider.generate(asks(), "tiny")
    assert provider._process.pid is None


async def test_it_can_be_restarted(file):
    provider = llama(file)
    for _ in range(2):
        await provider.start()
        assert text_of(await provider.generate(asks(), "tiny")) == REPLY
        await provider.stop()


async def test_a_process_that_dies_truncates_its_reply_and_the_next_request_starts_a_new_one(provider):
    events = []
    async for event in provider.stream(endless(), "tiny"):
        events.append(event)
        if len(events) == 2:
            os.kill(provider._process.pid, signal.SIGKILL)
    check_grammar(events)
    assert finish_of(events) == "truncated"

    async def dead():
        return provider._process.pid is None

    await until(dead)
    assert text_of(await provider.generate(asks(), "tiny")) == REPLY


SCRIPT = """
import asyncio, os, signal, sys
from tests.support.generate_requests import asks
from tests.support.providers import make

async def main():
    provider = make(provider="llama_cpp", path=sys.argv[1], threads=1)
    await provider.start()
    await provider.generate(asks(), "tiny")
    print(provider._process.pid, provider._process._spec.socket, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_gateway_that_is_killed_leaves_no_process_behind(file):
    root = Path(__file__).parents[3]
    pipe = asyncio.subprocess.PIPE
    script = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(file), cwd=root, stdout=pipe, stderr=pipe
    )
    stdout, stderr = await script.communicate()
    assert script.returncode == -signal.SIGKILL, stderr.decode()
    pid, socket = stdout.splitlines()[-1].split()
    process = Path(f"/proc/{int(pid)}/status")

    async def gone():
        try:
            # A container's first process may not reap it: a zombie counts as gone.
            return "\nState:\tZ" in process.read_text() and not Path(socket.decode()).exists()
        except (FileNotFoundError, ProcessLookupError):
            return not Path(socket.decode()).parent.exists()

    await until(gone)


# Files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "is not a GGUF file"),
        (b"<html><title>Not found</title>", "is not a GGUF file: it begins with b'<htm'"),
    ],
)
def test_a_missing_or_wrong_file_is_a_startup_error(tmp_path, content, message):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=message):
        llama(path)


@pytest.mark.parametrize("size", [4, 3_000, 300_000])
async def test_a_truncated_file_is_an_error_with_advice(file, tmp_path, size):
    path = tmp_path / "short.gguf"
    path.write_bytes(file.read_bytes()[:size])
    async for provider in started(llama(path)):
        for call in (provider.generate(asks(), "short"), provider.list_models()):
            with pytest.raises(ModelMissing, match="download it again") as raised:
                await call
            assert raised.value.detail.startswith("short.gguf was not loaded: ")
            assert str(tmp_path) not in raised.value.detail
        assert not folder_of(provider).exists()


async def test_a_file_that_disappears_after_the_start_is_an_error_with_advice(file, tmp_path):
    path = tmp_path / "moved.gguf"
    path.write_bytes(file.read_bytes())
    provider = llama(path)
    path.unlink()
    async for each in started(provider):
        with pytest.raises(ModelMissing, match=r"No such file.*check path and permissions"):
            await each.generate(asks(), "moved")


async def test_a_matching_checksum_lets_the_file_load(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest().upper()
    async for provider in started(llama(file, sha256=digest)):
        assert text_of(await provider.generate(asks(), "tiny")) == REPLY


async def test_a_wrong_checksum_is_an_error(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    async for provider in started(llama(file, sha256="0" * 64)):
        with pytest.raises(ModelMissing, match=digest):
            await provider.generate(asks(), "tiny")


async def test_a_failed_load_is_retried_after_an_interval(file, tmp_path, monkeypatch):
    path = tmp_path / "model.gguf"
    path.write_bytes(file.read_bytes()[:3_000])
    async for provider in started(llama(path)):
        with pytest.raises(ModelMissing):
            await provider.generate(asks(), "model")
        path.write_bytes(file.read_bytes())
        with pytest.raises(ModelMissing):
            await provider.generate(asks(), "model")
        monkeypatch.setattr("clawdbot_model_gateway.providers.llama.server_process.LOAD_RETRY_INTERVAL", 0.0)
        assert text_of(await provider.generate(asks(), "model")) == REPLY


def test_a_missing_package_is_a_startup_error_that_says_how_to_install_it(file, monkeypatch):
    monkeypatch.setattr("clawdbot_model_gateway.providers.llama_cpp.PACKAGE", "no_such_package")
    with pytest.raises(StartupError, match=r'pip install "clawdbot-model-gateway\[llama_cpp\]"'):
        llama(file)
