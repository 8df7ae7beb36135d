"""The models section is read again, by ReloadModels and SIGHUP, and no stream is lost."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from functools import partial

import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin

from tests.support.conditions import until
from tests.support.fake_openai import HOLD, KEY, fake_openai
from tests.support.gateway_service import Client, compatible
from tests.support.generate_requests import asks, text_of
from tests.support.ports import free_port
from tests.support.processes import process
from tests.support.reloads import (
    STREAM,
    ConfigFile,
    answer,
    listed,
    loaded,
    models,
    refusal,
    reload,
    scripted,
)
from tests.support.scripted_provider import hold_replies
from tests.support.two_workers import two_workers


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


async def test_it_says_what_was_added_changed_removed_and_kept(config, tmp_path):
    config.write(models({"chat": "a/m", "old": "b/m"}, a=scripted("A"), b=scripted("B"), c=scripted("C")))
    async with loaded(config, tmp_path) as served:
        client = served.client
        config.write(
            models({"chat": "d/m", "new": "a/m"}, a=scripted("A"), b=scripted("B2"), d=scripted("D"))
        )
        changes = await reload(client)
        assert (changes.added, changes.changed, changes.removed, changes.kept) == (["d"], ["b"], ["c"], ["a"])
        assert changes.changed_aliases == ["chat", "default", "new", "old"]
        assert await listed(client) == {"a", "b", "d"}
        assert [await answer(client, each) for each in ("chat", "new", "b/m")] == ["D", "A", "B2"]
        for gone in ("c/m", "old"):
            assert (await client.fault(asks("x", model=gone))).reason == "MODEL_NOT_FOUND"
        again = await reload(client)
        assert (again.added, again.changed, again.removed) == ([], [], [])
        assert (again.kept, again.changed_aliases, again.pending_workers) == (["a", "b", "d"], [], 0)


async def test_a_removed_backend_is_gone_from_the_metrics(config, tmp_path):
    config.write(models(a=scripted("A"), b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        shown = partial(served.metric, "clawdbot_backend_breaker_state", backend="b")
        await until(lambda: shown() == admin.BREAKER_STATE_CLOSED)
        config.write(models(a=scripted("A")))
        await reload(served.client)
        await until(lambda: shown() == 0)


async def test_an_unchanged_backend_keeps_its_connections(config, tmp_path):
    async with fake_openai() as a, fake_openai() as b:
        one, two = compatible(a.url, api_key=KEY, models=["m"]), compatible(b.url, api_key=KEY, models=["m"])
        config.write(models(a=one, b=two))
        async with loaded(config, tmp_path) as served:
            for each in ("a/m", "b/m"):
                await served.client.gateway.Generate(asks("x", model=each))
            before = {name: each.provider for name, each in served.application._components.backends.items()}
            config.write(models(a=one, b={**two, "temperature": 0.5}))
            changes = await reload(served.client)
            assert (changes.kept, changes.changed) == (["a"], ["b"])
            after = served.application._components.backends
            assert after["a"].provider is before["a"]
            assert after["a"].provider.open_connections == 1
            assert after["b"].provider is not before["b"]
            # The old one closes its connections once it is idle.
            await until(lambda: not before["b"].open_connections)
            await served.client.gateway.Generate(asks("x", model="b/m"))


@pytest.mark.parametrize("rpc", ["stream", "generate"])
@pytest.mark.parametrize("change", ["removed", "changed"])
async def test_requests_in_flight_finish_on_the_old_backend(config, tmp_path, rpc, change):
    config.write(models(a=scripted("A"), b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        client = served.client
        old = served.application._components.backends["a"]
        held = hold_replies(old)
        running = asyncio.create_task(client.run(asks("x", model="a/m"), rpc))
        await until(lambda: old.in_flight)
        config.write(models(b=scripted("B"), **({} if change == "removed" else {"a": scripted("A2")})))
        await reload(client)
        assert old.in_flight == 1
        if change == "changed":
            assert await answer(client, "a/m") == "A2"
            shown = (await client.admin.ListBackends(admin.ListBackendsRequest())).backends[0]
            assert (shown.name, shown.requests_in_flight) == ("a", 1)
        held.set()
        reply = await running
        assert (text_of(reply) if rpc == "stream" else reply.message.parts[0].text) == "yes"


async def test_a_stop_closes_backends_that_still_finish_requests(config, tmp_path):
    async with fake_openai() as server:
        server.will(HOLD)
        config.write(models(a=compatible(server.url, api_key=KEY, models=["m"]), b=scripted("B")))
        async with loaded(config, tmp_path) as served:
            old = served.application._components.backends["a"]
            call = asyncio.create_task(served.client.run(asks("x", model="a/m"), "stream"))
            await until(lambda: old.in_flight)
            config.write(models(b=scripted("B")))
            await reload(served.client)
            assert old.provider.open_connections == 1
        assert old.provider.open_connections == 0
        await asyncio.gather(call, return_exceptions=True)


BROKEN = {
    "an unknown key": (
        models(a=scripted("A"), b={"provider": "echo", "colour": 1}),
        "models.backends.b.colour",
    ),
    "an unknown provider": (models(b={"provider": "eco"}), "models.backends.b.provider"),
    "an alias without a backend": (models({"chat": "z/m"}, a=scripted("A")), "models.aliases.chat"),
    "a bad number": (models(a=scripted("A", queue={"size": -1})), "models.backends.a.queue.size"),
    "a missing tokenizer": (
        models(b={"provider": "echo", "tokenizer": "nowhere.json"}),
        "models.backends.b.tokenizer",
    ),
    "both sections": ({**models(a=scripted("A")), "model": {"provider": "echo"}}, "model or models"),
    "another section": ({**models(a=scripted("A")), "servre": {}}, "servre"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_an_invalid_configuration_changes_nothing_and_says_where(config, tmp_path, broken):
    config.write(models(a=scripted("A")))
    async with loaded(config, tmp_path) as served:
        backend = served.application._components.backends["a"]
        sections, place = BROKEN[broken]
        config.write(sections)
        fault = await refusal(served.client)
        assert (fault.code, fault.reason) == ("FAILED_PRECONDITION", "CONFIGURATION_INVALID")
        assert place in fault.message
        assert await listed(served.client) == {"a"}
        assert await answer(served.client) == "A"
        assert served.application._components.backends["a"] is backend
        config.path.write_text("models: {")
        assert "clawdbot.yaml:2" in (await refusal(served.client)).message
        config.path.unlink()
        assert "clawdbot.yaml" in (await refusal(served.client)).message
        config.write(models(a=scripted("A3")))
        await reload(served.client)
        assert await answer(served.client) == "A3"


async def test_a_new_backend_that_is_down_is_added_all_the_same(config, tmp_path):
    config.write(models(a=scripted("A")))
    async with loaded(config, tmp_path) as served:
        down = compatible(f"http://127.0.0.1:{free_port()}/v1")
        config.write(models({"chat": ["b/m", {"target": "a/m", "fallback": True}]}, a=scripted("A"), b=down))
        assert (await reload(served.client)).added == ["b"]
        assert await answer(served.client) == "A"


async def test_an_override_ends_with_the_configuration_of_its_alias(config, tmp_path):
    config.write(models({"chat": "a/m", "x": "a/m"}, a=scripted("A"), b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        for alias in ("chat", "x"):
            await served.client.switch(alias, "b/m")
        config.write(models({"chat": "c/m", "x": "a/m"}, a=scripted("A"), b=scripted("B"), c=scripted("C")))
        await reload(served.client)
        assert [await answer(served.client, each) for each in ("chat", "x")] == ["C", "B"]
        config.write(models({"chat": "c/m", "x": "a/m"}, a=scripted("A"), c=scripted("C")))
        await reload(served.client)
        assert [await answer(served.client, each) for each in ("chat", "x")] == ["C", "A"]


async def test_an_override_keeps_the_targets_whose_backends_are_left(config, tmp_path):
    config.write(models({"x": "a/m"}, a=scripted("A"), b=scripted("B"), c=scripted("C")))
    async with loaded(config, tmp_path) as served:
        for alias in ("x", "only_switched"):
            await served.client.switch(alias, "b/m", "c/m")
        config.write(models({"x": "a/m"}, a=scripted("A"), c=scripted("C")))
        await reload(served.client)
        assert [await answer(served.client, each) for each in ("x", "only_switched")] == ["C", "C"]
        config.write(models({"x": "a/m"}, a=scripted("A"), b=scripted("B")))
        await reload(served.client)
        assert {await answer(served.client, "only_switched") for _ in range(9)} == {"B"}, "b is back"
        config.write(models({"x": "a/m"}, a=scripted("A")))
        await reload(served.client)
        assert await answer(served.client, "x") == "A"
        assert (await served.client.fault(asks("x", model="only_switched"))).reason == "MODEL_NOT_FOUND"


async def test_a_switch_names_previous_targets_whose_backend_this_process_never_had(config, tmp_path):
    config.write(models(a=scripted("A"), b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        await served.client.switch("x", "b/*", "a/m")
    config.write(models(a=scripted("A")))
    async with loaded(config, tmp_path) as served:
        previous = (await served.client.switch("x", "a/m")).previous_targets
        assert [each.target for each in previous] == ["b/*", "a/m"]
        assert await answer(served.client, "x") == "A"


async def test_a_removed_backend_that_comes_back_is_not_drained(config, tmp_path):
    config.write(models(a=scripted("A"), b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        await served.client.admin.DrainBackend(admin.DrainBackendRequest(backend="b"))
        config.write(models(a=scripted("A"), b=scripted("B2")))
        await reload(served.client)
        assert (await served.client.fault(asks("x", model="b/m"))).reason == "BACKEND_DRAINING"
        config.write(models(a=scripted("A")))
        await reload(served.client)
        config.write(models(a=scripted("A"), b=scripted("B2")))
        await reload(served.client)
        assert await answer(served.client, "b/m") == "B2"


async def test_without_a_configuration_models_are_looked_for_again(config, tmp_path):
    config.write({})
    async with loaded(config, tmp_path) as served:
        assert await answer(served.client) == "x"
        config.write({"model": scripted("found")})
        assert (await reload(served.client)).added == ["scripted"]
        assert await answer(served.client) == "found"


@pytest.mark.integration
async def test_sighup_loses_no_stream_under_load(config, tmp_path):
    config.write(models({"chat": "a/m"}, a=scripted("A")))
    settings = {"CLAWDBOT_CONFIG": str(config.path)}
    async with (
        process("clawdbot_model_gateway", state=tmp_path, environment=settings) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        client = Client(channel)
        done: list[str] = []

        async def caller() -> None:
            while len(done) < 200:
                events = await client.events(asks("slow", model="chat"))
                done.append("".join(each.text_delta.text for each in events))
                assert events[-1].HasField("finished")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(40):
                tasks.create_task(caller())
            for number in range(6):
                await asyncio.sleep(0.5)
                name = "ab"[number % 2]
                config.write(models({"chat": f"{name}/m"}, **{name: scripted(name * number)}))
                os.kill(served.pid, signal.SIGHUP)
        assert set(done) == {STREAM["text"]}
        assert served.running
        assert await answer(client) == "bbbbb"
        config.path.write_text("models: {")
        os.kill(served.pid, signal.SIGHUP)
        await until(lambda: "reload_refused" in served.log.read_text())
        assert await answer(client) == "bbbbb"


@pytest.mark.integration
@pytest.mark.parametrize("how", ["rpc", "sighup"])
async def test_all_workers_get_the_new_configuration(config, tmp_path, how):
    queue = {"concurrency": 4}
    config.write(models({"chat": "a/m"}, a=scripted("A", queue=queue), keep=scripted("K", queue=queue)))
    async with two_workers(tmp_path, config=config.path) as workers:
        clients = workers.clients

        async def answers() -> set[str]:
            return set(await asyncio.gather(*map(answer, clients)))

        async def all_answer(text) -> bool:
            return await answers() == {text}

        assert await answers() == {"A"}
        for number in range(3):
            text = f"A{number}"
            section = models({"chat": "a/m"}, a=scripted(text, queue=queue), keep=scripted("K", queue=queue))
            config.write(section)
            if how == "rpc":
                changes = await reload(clients[number])
                assert (changes.changed, changes.kept) == (["a"], ["keep"])
                assert changes.pending_workers == 0
                assert await answers() == {text}
            else:
                os.kill(workers.process.pid, signal.SIGHUP)
                await until(partial(all_answer, text))
        if how == "rpc":
            await workers.replace_all()
            await until(lambda: all_answer("A2"))
            changes = await reload(clients[0])
            assert (changes.kept, changes.pending_workers) == (["a", "keep"], 0)
        config.path.write_text("models: {")
        if how == "rpc":
            assert (await refusal(clients[0])).reason == "CONFIGURATION_INVALID"
        assert await answers() == {"A2"}


@pytest.mark.integration
async def test_a_closed_terminal_still_ends_the_process(config, tmp_path):
    config.write(models(a=scripted("A")))
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "CLAWDBOT_CONFIG": str(config.path),
        "CLAWDBOT_STATE_DIR": str(tmp_path),
        "CLAWDBOT_SERVER__PORT": str(free_port()),
        "CLAWDBOT_TELEMETRY__METRICS_PORT": "0",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "clawdbot_model_gateway",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"is serving" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 4096)
    child.send_signal(signal.SIGHUP)
    while b"models_reloaded" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 4096)
    os.close(ours)
    child.send_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        assert await child.wait() == 0
