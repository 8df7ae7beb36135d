"""A backend whose name gets another address is found there at once, however long addresses are remembered."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl

import pytest
from yarl import URL

from tests.support.certificates import authority, certificate
from tests.support.fake_openai import KEY, completion, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port
from tests.support.raw_server import raw_server, response

OLD, NEW = "127.0.0.1", "127.0.0.2"


class Names:
    """The addresses of vendor.example."""

    def __init__(self, loop) -> None:
        self.addresses = [OLD]
        self.lookups = 0
        self._system = loop.getaddrinfo

    async def look_up(self, host, port, **more):
        if host not in {"vendor.example", b"vendor.example"}:
            return await self._system(host, port, **more)
        self.lookups += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in self.addresses]


@pytest.fixture
async def names(monkeypatch):
    loop = asyncio.get_running_loop()
    found = Names(loop)
    monkeypatch.setattr(loop, "getaddrinfo", found.look_up)
    return found


def answering(text):
    body = json.dumps(completion({"content": text})).encode()

    async def serve(reader, writer, length):
        await reader.readexactly(length)
        writer.write(response(body))

    return serve


async def said(served) -> str:
    return (await served.inside.run(asks("x"), "generate", 60.0)).message.parts[0].text


def at(port, **http):
    return compatible(f"http://vendor.example:{port}/v1", models=["m"], http={"dns_ttl": "1h", **http})


async def test_it_is_found_where_it_has_moved(tmp_path, names):
    port = free_port()
    async with gateway(tmp_path, model=at(port, keep_alive=0, warm=0)) as served:
        async with raw_server(answering("old"), OLD, port):
            assert [await said(served) for _ in range(3)] == ["old"] * 3
            assert names.lookups == 1
        names.addresses = [NEW]
        async with raw_server(answering("new"), NEW, port):
            assert [await said(served) for _ in range(3)] == ["new"] * 3
            assert names.lookups == 2


async def test_many_requests_at_once_find_it_and_the_look_ups_are_few(tmp_path, names):
    port, rounds = free_port(), 5
    async with gateway(tmp_path, model=at(port, keep_alive=0, warm=0)) as served:
        for number in range(rounds):
            names.addresses = [(OLD, NEW)[number % 2]]
            async with raw_server(answering(str(number)), names.addresses[0], port):
                calls = [served.inside.begin(asks("x"), "generate", 60) for _ in range(40)]
                reading = [asyncio.ensure_future(each) for each in calls]
                await asyncio.sleep(0)
                for each in calls[::2]:
                    each.cancel()
                replies = await asyncio.gather(*reading, return_exceptions=True)
            texts = {each.message.parts[0].text for each in replies[1::2]}
            assert texts == {str(number)}
    assert names.lookups <= 40 * rounds


async def test_one_that_is_down_is_looked_up_once_for_each_request(tmp_path, names):
    model = {**at(free_port(), warm=0), "breaker": {"enabled": False}}
    async with gateway(tmp_path, model=model) as served:
        for _ in range(3):
            assert (await served.inside.fault(asks("x"))).reason == "BACKEND_UNREACHABLE"
    assert names.lookups == 3


async def test_one_of_several_addresses_that_is_down_costs_no_request(tmp_path, names):
    port = free_port()
    names.addresses = [NEW, OLD]
    async with (
        raw_server(answering("old"), OLD, port),
        gateway(tmp_path, model=at(port, keep_alive=0, warm=0)) as served,
    ):
        assert [await said(served) for _ in range(4)] == ["old"] * 4
    assert names.lookups == 1


async def test_an_address_that_does_not_answer_in_time_is_looked_up_again(tmp_path, names):
    # Its queue of connections is full: nothing comes back.
    port = free_port()
    with socket.create_server((NEW, port), backlog=0):
        stuck = [socket.socket() for _ in range(4)]
        for each in stuck:
            each.setblocking(False)
            each.connect_ex((NEW, port))
        names.addresses = [NEW]
        model = at(port, connect_timeout="300ms", warm=0)
        async with raw_server(answering("old"), OLD, port), gateway(tmp_path, model=model) as served:
            assert (await served.inside.fault(asks("x"), seconds=60.0)).reason == "BACKEND_UNREACHABLE"
            names.addresses = [OLD]
            assert await said(served) == "old"
        for each in stuck:
            each.close()


async def test_the_next_address_is_asked_when_one_accepts_and_then_says_nothing(tmp_path, names):
    ca = authority("CA")
    ca_file, _ = ca.write(tmp_path, "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate("server", ca, host="vendor.example").write(tmp_path, "server"))
    async with fake_openai(context) as backend:
        port = URL(backend.url).port
        names.addresses = [NEW, OLD]
        http = {"ca_file": str(ca_file), "connect_timeout": "6s", "warm": 0}
        model = compatible(f"https://vendor.example:{port}/v1", api_key=KEY, models=["m"], http=http)
        with socket.create_server((NEW, port)):
            async with gateway(tmp_path, model=model) as served:
                await served.inside.run(asks("x"), "generate", 60.0)
    assert len(backend.asked) == 1
