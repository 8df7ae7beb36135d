"""The chat says in one sentence why it cannot reach a server, and takes addresses as people write them."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_cli.addresses import address_of, reachable
from clawdbot_cli.connection import NobodyThere, remote
from clawdbot_cli.error_messages import is_away, passes, sentence
from clawdbot_servicekit.errors import RemoteError, StartupError

from tests.support.ports import free_port
from tests.support.scripted_dialogue import ScriptedDialogue, serving


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("localhost", "localhost:8080"),
        ("[::1]:9000", "[::1]:9000"),
        ("[::1]", "[::1]:8080"),
        ("::1", "[::1]:8080"),
        ("unix:/run/clawdbot.sock", "unix:/run/clawdbot.sock"),
        ("dns:///clawdbot:8080", "dns:///clawdbot:8080"),
    ],
)
def test_an_address_is_understood(typed, meant):
    assert address_of(typed) == meant


@pytest.mark.parametrize("typed", ["http://localhost:8080", "localhost:8080/", " ", "host:port", ":8080"])
def test_what_is_no_address_is_refused_with_an_example(typed):
    with pytest.raises(StartupError, match=r"127\.0\.0\.1:8080"):
        address_of(typed)


def test_a_server_on_all_interfaces_is_reached_on_this_machine():
    assert [reachable(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "::1", "10.0.0.1"]


async def reaching(address: str) -> str:
    with pytest.raises(NobodyThere) as caught:
        async with remote(address, None):
            pass
    return str(caught.value)


async def test_an_address_where_nobody_listens_is_said_to_be_so():
    address = f"127.0.0.1:{free_port()}"
    assert await reaching(address) == f"Nobody listens at {address}."


async def test_a_listener_that_is_no_clawdbot_is_told_from_nobody():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "does not answer as asked" in await reaching(f"127.0.0.1:{port}")


async def test_a_server_that_serves_is_reached():
    async with serving(ScriptedDialogue()) as address, remote(address, None) as connection:
        assert connection.where == address
        assert not connection.in_the_clear


async def test_a_missing_file_of_certificates_is_one_sentence(tmp_path):
    with pytest.raises(StartupError, match="cannot be read"):
        async with remote("127.0.0.1:1", tmp_path / "missing.pem"):
            pass


OURS = "clawdbot.dev"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            RemoteError("NOT_FOUND", "SESSION_NOT_FOUND", "There is no session x.", OURS),
            "There is no session x. (SESSION_NOT_FOUND)",
        ),
        (
            RemoteError("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Too many turns.", OURS, retry_after=2.5),
            "Too many turns. (RATE_LIMITED) Try again in 2.5 s.",
        ),
        (RemoteError("UNAVAILABLE", "", "failed to connect to all addresses"), "Nobody answers at here."),
        (RemoteError("UNKNOWN", "", "boom"), "here answered UNKNOWN: boom"),
    ],
)
def test_a_failed_call_is_one_sentence(fault, told):
    assert sentence(fault, "here") == told


def test_a_missing_key_comes_with_the_way_to_give_one():
    fault = RemoteError("UNAUTHENTICATED", "UNAUTHENTICATED", "This server needs a key.", OURS)
    assert "--key-file FILE" in sentence(fault, "here")


def test_what_may_be_asked_again_is_told_from_what_may_not():
    gone = RemoteError("UNAVAILABLE", "", "Socket closed")
    draining = RemoteError("UNAVAILABLE", "SHUTTING_DOWN", "", OURS, retry_after=1.0)
    moved = RemoteError("ABORTED", "TURN_MOVED", "", OURS, retry_after=1.0)
    late = RemoteError("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "", OURS)
    refused = RemoteError("FAILED_PRECONDITION", "SESSION_ENDED", "", OURS)
    limited = RemoteError("RESOURCE_EXHAUSTED", "RATE_LIMITED", "", OURS, retry_after=1.0)
    assert [is_away(each) for each in (gone, draining, refused)] == [True, False, False]
    assert [passes(each) for each in (draining, moved, late)] == [True, True, True]
    assert [passes(each) for each in (gone, refused, limited)] == [False, False, False]
