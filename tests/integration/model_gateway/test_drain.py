"""DrainBackend: no new requests, those in flight finish, in all workers and across restarts."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest, EmbedRequest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error

from tests.support.conditions import until
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, text_of
from tests.support.scripted_provider import hold_replies
from tests.support.two_workers import two_workers

SLOW = {
    "provider": "scripted",
    "models": ["m"],
    "replies": [
        {"when": "long", "text": "one two", "fault": {"kind": "hang", "after": 1}},
        {"when": "slow", "text": "one two three four", "pace": "100ms"},
        {"text": "yes"},
    ],
}
MODELS = {
    "backends": {"a": SLOW, "b": SLOW, "c": {"provider": "echo"}},
    "aliases": {
        "chat": [{"target": "a/m", "weight": 99}, "b/m", {"target": "c/echo", "fallback": True}],
        "alone": "a/m",
    },
}


def drain(client, backend="a", seconds=20.0, **more):
    return client.admin.DrainBackend(admin.DrainBackendRequest(backend=backend, **more), timeout=seconds)


async def answering(client, model="chat", times=8) -> set[str]:
    return {(await client.gateway.Generate(asks("x", model=model))).backend for _ in range(times)}


async def states(client) -> dict[str, admin.Backend]:
    listed = await client.admin.ListBackends(admin.ListBackendsRequest())
    return {each.name: each for each in listed.backends}


async def test_the_other_targets_of_an_alias_answer(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        client = served.client
        await drain(client)
        assert await answering(client) == {"b"}
        seen = await client.events(asks("x", model="chat"))
        assert seen[0].started.attempt == 1
        await drain(client, "b")
        assert await answering(client) == {"c"}
        assert {name for name, each in (await states(client)).items() if each.draining} == {"a", "b"}
        for each in ("a", "b"):
            reply = await drain(client, each, undo=True)
            assert not reply.backend.draining
        assert "a" in await answering(client)


@pytest.mark.parametrize("model", ["alone", "a/m"])
async def test_a_request_without_another_target_is_told_why(tmp_path, model):
    async with gateway(tmp_path, models=MODELS) as served:
        await drain(served.client)
        for rpc in ("generate", "stream"):
            fault = await served.client.fault(asks("x", model=model), rpc)
            assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_DRAINING")
            assert "undo" in fault.message
            assert fault.message.startswith("a/m: ")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.client.gateway.Embed(EmbedRequest(model=model, texts=["x"]))
        assert remote_error(caught.value).reason in {"BACKEND_DRAINING", "BACKEND_CANNOT_EMBED"}


async def test_tokens_are_counted_without_a_drained_backend(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        await drain(served.client)
        counted = await served.client.gateway.CountTokens(CountTokensRequest(text="one two", model="alone"))
        assert counted.tokens


async def test_it_waits_for_the_streams_in_flight(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        client, held = served.client, hold_replies(served.application._components.backends["a"])
        stream = asyncio.create_task(client.events(asks("x", model="a/m")))
        assert await until(lambda: not served.idle)
        draining = drain(client)
        await until(lambda: is_draining(client))
        assert not draining.done()
        held.set()
        reply = await draining
        assert (reply.backend.draining, reply.backend.requests_in_flight) == (True, 0)
        assert text_of(await stream) == "yes"


async def test_it_returns_before_its_deadline_with_what_is_left(tmp_path, monkeypatch):
    # A caller itself gives up at its deadline, which on a busy machine is before an answer just in time.
    monkeypatch.setattr(deadline, "MARGIN", 20.0)
    async with gateway(tmp_path, models=MODELS) as served:
        client, held = served.client, hold_replies(served.application._components.backends["a"])
        stream = asyncio.create_task(client.events(asks("x", model="a/m")))
        assert await until(lambda: not served.idle)
        reply = await drain(client, seconds=20.5)
        assert (reply.backend.draining, reply.backend.requests_in_flight) == (True, 1)
        held.set()
        assert (await stream)[-1].HasField("finished")


async def test_a_request_that_waits_in_its_queue_still_gets_its_turn(tmp_path):
    models = {"backends": {"a": {**SLOW, "queue": {"concurrency": 1}}}}
    async with gateway(tmp_path, models=models) as served:
        client, held = served.client, hold_replies(served.application._components.backends["a"])
        tasks = [asyncio.create_task(client.events(asks("x", model="a/m"))) for _ in range(3)]
        await until(lambda: has_in_flight(client, 3))
        draining = drain(client)
        await until(lambda: is_draining(client))
        held.set()
        assert (await draining).backend.requests_in_flight == 0
        assert all(each[-1].HasField("finished") for each in await asyncio.gather(*tasks))


async def test_an_unknown_backend_is_an_error_that_names_the_nearest(tmp_path):
    models = {"backends": {"vllm-a": SLOW}}
    async with gateway(tmp_path, models=models) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(served.client, "vlm-a")
        fault = remote_error(caught.value)
        assert (fault.code, fault.reason) == ("NOT_FOUND", "BACKEND_NOT_FOUND")
        assert "vllm-a" in fault.message


async def test_a_repeated_request_does_not_undo_a_later_one(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        await drain(served.client, request_id="r-1")
        await drain(served.client, undo=True, request_id="r-2")
        assert not (await drain(served.client, request_id="r-1")).backend.draining


async def test_a_drain_that_is_undone_meanwhile_returns_at_once(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        client = served.client
        stream = client.stream(asks("long", model="a/m"))
        await stream.read()
        draining = drain(client)
        await until(lambda: is_draining(client))
        await drain(client, undo=True)
        async with asyncio.timeout(20):
            reply = await draining
        assert (reply.backend.draining, reply.backend.requests_in_flight) == (False, 1)
        stream.cancel()


async def test_a_drain_names_a_backend(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        for more in ({}, {"undo": True}):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await drain(served.client, "", **more)
            fault = remote_error(caught.value)
            assert (fault.code, fault.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
            assert fault.violations[0].field == "backend"


@pytest.mark.parametrize("rpc", ["generate", "stream"])
async def test_what_is_refused_has_the_actual_model_and_its_target_was_not_asked(tmp_path, rpc):
    aliases = {"any": "c/*", "both": ["c/*", {"target": "a/m", "fallback": True}]}
    async with gateway(tmp_path, models={**MODELS, "aliases": aliases}) as served:
        await drain(served.client, "c")
        assert (await served.client.fault(asks("x", model="any"), rpc)).message.startswith("c/echo: ")
        await drain(served.client, "a")
        fault = await served.client.fault(asks("x", model="both"), rpc)
        assert fault.message.endswith(" Not asked: c/echo (BACKEND_DRAINING).")
        assert "Also tried" not in fault.message


async def test_a_restart_keeps_it_and_the_banner_says_so(tmp_path):
    async with gateway(tmp_path, models=MODELS) as served:
        await drain(served.client)
    async with gateway(tmp_path, models=MODELS) as served:
        assert await answering(served.client) == {"b"}
        assert any("a gets no requests" in each for each in served.application.describe()["models"])


@pytest.mark.integration
async def test_it_takes_effect_in_all_workers_at_once_and_outlives_them(tmp_path):
    async with two_workers(tmp_path, MODELS) as workers:
        clients = workers.clients

        async def answer() -> set[str]:
            replies = [each.gateway.Generate(asks("x", model="chat"), timeout=20) for each in clients]
            return {each.backend for each in await asyncio.gather(*replies)}

        # Streams in both workers; the call waits for those of the other one, too.
        streams = [each.stream(asks("slow", model="a/m")) for each in clients]
        assert all([await each.read() for each in streams])
        reply = await drain(clients[0])
        assert reply.backend.requests_in_flight == 0
        assert all([await _finished(each) for each in streams]), "no stream was cut"
        assert await answer() == {"b"}
        await workers.replace_all()
        replies = [
            each.gateway.Generate(asks("x", model="chat"), timeout=20, wait_for_ready=True)
            for each in clients
        ]
        assert {each.backend for each in await asyncio.gather(*replies)} == {"b"}
        await drain(clients[1], undo=True)
        assert "a" in await answer()


@pytest.mark.integration
async def test_the_load_is_that_of_all_workers(tmp_path):
    async with two_workers(tmp_path, MODELS) as workers:
        streams = [each.stream(asks("long", model="a/m")) for each in workers.clients]
        assert all([await each.read() for each in streams])
        for client in workers.clients[:6]:
            await until(partial(has_in_flight, client, len(streams)))
        for each in streams:
            each.cancel()
        for client in workers.clients[:6]:
            await until(partial(has_in_flight, client, 0))


async def is_draining(client) -> bool:
    return (await states(client))["a"].draining


async def has_in_flight(client, count) -> bool:
    return (await states(client))["a"].requests_in_flight == count


async def _finished(stream) -> bool:
    """Whether the stream comes to its end."""
    event = None
    while (read := await stream.read()) is not grpc.aio.EOF:
        event = read
    return event is not None and event.HasField("finished")
