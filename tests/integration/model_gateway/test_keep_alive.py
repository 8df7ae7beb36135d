"""Servers close idle connections: the gateway does not send a request on one that is about to be closed."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot_model_gateway.http import ErrorMapper, HttpPool
from clawdbot_model_gateway.settings import HttpSettings

from tests.support.closing_server import closing_server
from tests.support.fake_openai import completion
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks

OTHER = json.dumps(completion({"content": "for another"})).encode()


async def ask_after(served, seconds) -> None:
    await asyncio.sleep(seconds)
    await served.client.gateway.Generate(asks("x"), timeout=10)


@pytest.mark.parametrize("announced", ["timeout=3", "timeout=3, max=100", "max=5, Timeout = 3"])
async def test_a_connection_is_left_alone_before_the_servers_time_is_over(tmp_path, announced):
    async with (
        closing_server(60, announced) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        await ask_after(served, 0)
        await ask_after(served, 0)
        assert server.connections == 1
        await ask_after(served, 2.1)
        assert server.connections == 2


@pytest.mark.parametrize("announced", ["", "timeout=60", "max=100", "timeout=", "timeout=x", "-"])
async def test_a_long_or_missing_limit_changes_nothing(tmp_path, announced):
    async with (
        closing_server(60, announced) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"], http={"keep_alive": "50s"})) as served,
    ):
        await ask_after(served, 0)
        await ask_after(served, 1.2)
        assert server.connections == 1


@pytest.mark.parametrize(("idle_after", "announced"), [(1.0, "timeout=1"), (2.0, "timeout=2"), (5.0, "")])
async def test_no_request_is_lost_when_the_server_gives_up_its_connection(tmp_path, idle_after, announced):
    async with (
        closing_server(idle_after, announced, lag=0.2) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        server.held = 20
        await asyncio.gather(*(ask_after(served, 0) for _ in range(20)))
        # At this time the server does not read any more, and its end has not arrived.
        await asyncio.gather(*(ask_after(served, idle_after + 0.05) for _ in range(20)))
    assert server.requests == 40


async def test_a_server_that_does_not_say_when_it_gives_up_shows_it(tmp_path):
    async with (
        closing_server(1.0) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        began = time.monotonic()
        await ask_after(served, 0)
        # This one finds that the connection has been ended …
        await ask_after(served, 1.5)
        learned = (time.monotonic() - began) / 2
        server.lag = 60.0
        # … so this one does not take it to be open, although its end has not arrived.
        await ask_after(served, max(1.1, learned))
        assert (server.requests, server.connections) == (3, 3)


async def test_a_connection_that_is_used_often_is_kept_after_a_server_has_shown_its_limit(tmp_path):
    async with (
        closing_server(1.0) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        await ask_after(served, 0)
        await ask_after(served, 2.5)
        before = server.connections
        for _ in range(5):
            await ask_after(served, 0.01)
        assert server.connections == before


async def test_an_end_that_the_event_loop_has_not_seen_yet_is_noticed():
    async with closing_server(60) as server:
        pool = HttpPool(server.url, HttpSettings(), headers={}, query={}, errors=ErrorMapper([]))
        await pool.start()
        try:
            await pool.read(await pool.post("chat/completions", b"{}"))
            for writer in server.writers:
                writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            # Nothing was awaited, so the loop has not looked.
            await pool.read(await pool.post("chat/completions", b"{}"))
        finally:
            await pool.stop()
        assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(OTHER), OTHER),
        b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n",
        b"good bye\r\n",
    ],
    ids=["a reply", "a timeout", "no HTTP"],
)
async def test_what_a_server_says_on_an_idle_connection_is_nobodys_reply(tmp_path, said):
    async with (
        closing_server(60) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        await ask_after(served, 0)
        server.writers[0].write(said)
        for _ in range(3):
            await asyncio.sleep(0.1)
            reply = await served.client.gateway.Generate(asks("x"), timeout=10)
            assert reply.message.parts[0].text != "for another"
        assert (server.connections, server.requests) == (2, 4)


async def test_idle_connections_are_kept_for_less_than_the_usual_servers_do(tmp_path):
    async with (
        closing_server(5.0) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"])) as served,
    ):
        await ask_after(served, 0)
        await ask_after(served, 4.5)
        assert server.connections == 2


@pytest.mark.parametrize(("announced", "http"), [("", {"keep_alive": 0}), ("timeout=0", {})])
async def test_a_connection_that_cannot_be_used_again_is_closed(tmp_path, announced, http):
    async with (
        closing_server(60, announced) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"], http={"warm": 0, **http})) as served,
    ):
        for _ in range(3):
            await ask_after(served, 0)
            shown = await served.client.admin.ListBackends(admin.ListBackendsRequest())
            assert shown.backends[0].open_connections == 0
        assert server.connections == 3


async def test_the_last_connection_is_used_first_so_that_the_others_can_go(tmp_path):
    async with (
        closing_server(60) as server,
        gateway(tmp_path, model=compatible(server.url, models=["m"], http={"keep_alive": "2s"})) as served,
    ):
        server.held = 5
        await asyncio.gather(*(ask_after(served, 0) for _ in range(5)))

        async def open_connections() -> int:
            shown = (await served.client.admin.ListBackends(admin.ListBackendsRequest())).backends[0]
            return shown.open_connections

        assert await open_connections() == 5
        async with asyncio.timeout(20):
            while await open_connections() > 1:
                await ask_after(served, 0.2)
        assert server.connections == 5
