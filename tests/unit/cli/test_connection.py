"""Why a server cannot be reached is one sentence, and addresses are accepted as people write them."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_cli.addresses import connectable_host, parse_address
from clawdbot_cli.connection import ServerNotFound, connect
from clawdbot_cli.error_messages import error_message, is_connection_error, is_transient
from clawdbot_servicekit.errors import RemoteError, StartupError

from tests.support.ports import free_port
from tests.support.scripted_dialogue import ScriptedDialogue, serving


@pytest.mark.parametrize(
    ("typed", "address"),
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
def test_an_address_is_parsed(typed, address):
    assert parse_address(typed) == address


@pytest.mark.parametrize("typed", ["http://localhost:8080", "localhost:8080/", " ", "host:port", ":8080"])
def test_an_invalid_address_is_refused_with_an_example(typed):
    with pytest.raises(StartupError, match=r"127\.0\.0\.1:8080"):
        parse_address(typed)


@pytest.mark.parametrize(
    "typed", ["127.0.0.1:99999", "localhost:0", "[::1]:65536", "dns:///clawdbot:70000", "h:123456789012"]
)
def test_a_port_that_cannot_exist_is_refused_with_the_range(typed):
    with pytest.raises(StartupError, match=r"there is no port \d+\. Use one from 1 to 65535"):
        parse_address(typed)


def test_a_server_on_all_interfaces_is_reached_on_this_machine():
    assert [connectable_host(host) for host in ("0.0.0.0", "::", "10.0.0.1")] == [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
    ]


async def connection_error(address: str) -> str:
    with pytest.raises(ServerNotFound) as caught:
        async with connect(address, None):
            pass
    return str(caught.value)


async def test_a_closed_port_is_reported():
    address = f"127.0.0.1:{free_port()}"
    assert await connection_error(address) == f"No server is listening at {address}."


async def test_a_server_that_does_not_speak_grpc_is_reported():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "does not answer gRPC calls" in await connection_error(f"127.0.0.1:{port}")


async def test_a_serving_server_is_connected_to():
    async with serving(ScriptedDialogue()) as address, connect(address, None) as connection:
        assert connection.display_name == address
        assert not connection.unencrypted


OURS = "clawdbot.dev"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RemoteError("NOT_FOUND", "SESSION_NOT_FOUND", "There is no session x.", OURS),
            "There is no session x. (SESSION_NOT_FOUND)",
        ),
        (
            RemoteError("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Too many turns.", OURS, retry_after=2.5),
            "Too many turns. (RATE_LIMITED) Try again in 2.5 s.",
        ),
        (
            RemoteError("UNAVAILABLE", "", "failed to connect to all addresses"),
            "Cannot reach here. Check that it is running.",
        ),
        (RemoteError("UNKNOWN", "", "boom"), "here answered UNKNOWN: boom"),
    ],
)
def test_a_failed_call_is_one_sentence(error, message):
    assert error_message(error, "here") == message


def test_a_missing_key_comes_with_a_hint_how_to_give_one():
    error = RemoteError("UNAUTHENTICATED", "UNAUTHENTICATED", "This server needs a key.", OURS)
    assert "--key-file FILE" in error_message(error, "here")


def test_connection_errors_and_transient_errors_are_told_apart_from_refusals():
    gone = RemoteError("UNAVAILABLE", "", "Socket closed")
    draining = RemoteError("UNAVAILABLE", "SHUTTING_DOWN", "", OURS, retry_after=1.0)
    moved = RemoteError("ABORTED", "TURN_MOVED", "", OURS, retry_after=1.0)
    late = RemoteError("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "", OURS)
    refused = RemoteError("FAILED_PRECONDITION", "SESSION_ENDED", "", OURS)
    limited = RemoteError("RESOURCE_EXHAUSTED", "RATE_LIMITED", "", OURS, retry_after=1.0)
    assert [is_connection_error(each) for each in (gone, draining, refused)] == [True, False, False]
    assert [is_transient(each) for each in (draining, moved, late)] == [True, True, True]
    assert [is_transient(each) for each in (gone, refused, limited)] == [False, False, False]
