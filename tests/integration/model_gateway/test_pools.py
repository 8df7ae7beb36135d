"""Each backend has connections of its own, warm before they are needed, and metrics of them."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from prometheus_client import generate_latest

from tests.support.certificates import authority, certificate
from tests.support.closing_server import closing_server
from tests.support.conditions import until
from tests.support.fake_openai import HOLD, KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port


def several(**backends):
    return {"backends": backends, "aliases": {"chat": f"{next(iter(backends))}/m"}}


def plain(url, **more):
    return compatible(url, api_key=KEY, models=["m"], **more)


async def state(served, name) -> admin.Backend:
    listed = await served.client.admin.ListBackends(admin.ListBackendsRequest())
    return next(each for each in listed.backends if each.name == name)


def metric(served, name, backend) -> float:
    lines = generate_latest(served.host.metrics.registry).decode().splitlines()
    found = [each for each in lines if each.startswith(f'{name}{{backend="{backend}"}}')]
    return sum(float(each.rpartition(" ")[2]) for each in found)


@pytest.mark.parametrize("warm", [0, 1, 3])
async def test_connections_are_made_when_a_backend_is_added(tmp_path, warm):
    async with closing_server(60) as server:
        models = several(a=plain(server.url, http={"warm": warm}))
        async with gateway(tmp_path, models=models) as served:
            shown = await state(served, "a")
            assert (shown.open_connections, shown.idle_connections, server.requests) == (warm, warm, 0)
            await served.client.gateway.Generate(asks("x", model="chat"))
            # The request uses a warm one.
            assert server.connections == max(1, warm)


async def test_connections_are_made_before_a_switch(tmp_path):
    async with closing_server(60) as a, closing_server(60) as b:
        models = several(a=plain(a.url, http={"keep_alive": "2s"}), b=plain(b.url, http={"keep_alive": "2s"}))
        async with gateway(tmp_path, models=models) as served:

            async def all_closed():
                return not (await state(served, "b")).open_connections

            await until(all_closed)
            before = b.connections
            await served.client.switch("chat", "b/m")
            assert b.connections == before + 1
            await served.client.gateway.Generate(asks("x", model="chat"))
            assert (b.connections, b.requests) == (before + 1, 1)


async def test_a_switch_to_a_warm_backend_connects_to_nothing(tmp_path):
    async with (
        closing_server(60) as a,
        closing_server(60) as b,
        gateway(tmp_path, models=several(a=plain(a.url), b=plain(b.url))) as served,
    ):
        for target in ("b/m", "a/m", "b/m"):
            await served.client.switch("chat", target)
        assert (a.connections, b.connections) == (1, 1)


async def test_a_backend_that_does_not_accept_delays_a_switch_for_a_moment_only(tmp_path):
    with_backlog = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, backlog=0)
    # TLS that never answers its handshake.
    silent = f"https://127.0.0.1:{with_backlog.sockets[0].getsockname()[1]}/v1"
    refused = f"http://127.0.0.1:{free_port()}/v1"
    patient = {"connect_timeout": "2m"}
    models = several(
        a={"provider": "echo", "models": ["m"]},
        silent=plain(silent, http=patient),
        refused=plain(refused, http=patient),
    )
    async with gateway(tmp_path, models=models) as served:
        for target in ("silent/m", "refused/m"):
            began = time.monotonic()
            await served.client.switch("chat", target)
            assert time.monotonic() - began < 30
            await served.client.switch("chat", "a/m")
    with_backlog.close()


async def test_warm_connections_over_tls_are_used(tmp_path):
    ca = authority("CA")
    ca_file, _ = ca.write(tmp_path, "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate("server", ca).write(tmp_path, "server"))
    async with fake_openai(context) as server:
        models = several(a=plain(server.url, http={"ca_file": str(ca_file)}))
        async with gateway(tmp_path, models=models) as served:
            assert (await state(served, "a")).idle_connections == 1
            await served.client.gateway.Generate(asks("x", model="chat"))
            assert (await state(served, "a")).open_connections == 1


async def test_a_stalled_backend_takes_nobody_elses_connections(tmp_path):
    async with fake_openai() as stalled, closing_server(60) as healthy:
        http = {"pool_size": 2}
        models = several(a=plain(stalled.url, http=http), b=plain(healthy.url, http=http))
        async with gateway(tmp_path, models=models) as served:
            stalled.will(*[HOLD] * 10)
            held = [
                asyncio.create_task(served.client.run(asks("x", model="a/m"), "stream")) for _ in range(6)
            ]

            async def all_in_flight():
                return (await state(served, "a")).requests_in_flight == 6

            await until(all_in_flight)
            async with asyncio.timeout(20):
                replies = [served.client.gateway.Generate(asks("x", model="b/m")) for _ in range(50)]
                assert len(await asyncio.gather(*replies)) == 50
            shown = await state(served, "a")
            assert (shown.open_connections, shown.idle_connections) == (2, 0)
            # They wait for slots, where the scheduler sees them, and not inside the connection pool.
            assert shown.waiting_for_connection == 0
            assert sum(each.requests for each in shown.queues) == 4
            for each in held:
                each.cancel()


async def test_the_metrics_show_open_and_idle_connections(tmp_path):
    async with (
        closing_server(60) as server,
        gateway(tmp_path, models=several(a=plain(server.url, http={"warm": 2}))) as served,
    ):
        await until(lambda: metric(served, "clawdbot_backend_idle_connections", "a"))
        assert metric(served, "clawdbot_backend_open_connections", "a") == 2
        assert metric(served, "clawdbot_backend_idle_connections", "a") == 2
        assert metric(served, "clawdbot_backend_connection_waiters", "a") == 0
