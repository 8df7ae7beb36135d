"""Commands that reach a suite over TLS, with and without a client certificate."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import asynccontextmanager

import pytest
from clawdbot_cli.settings import suite_settings
from clawdbot_cli.suite import running_suite

from tests.support.certificates import authority, certificate
from tests.support.commands import clawdbot

pytestmark = pytest.mark.integration

BOOKING = "a table for 4 tomorrow at 7pm\nyes\n"


@pytest.fixture(scope="module")
def ca():
    return authority("ours")


@pytest.fixture(scope="module")
def other_ca():
    return authority("theirs")


@asynccontextmanager
async def suite(folder, server, client_ca=None):
    """A suite on any free port, with the server certificate; the port."""
    cert_file, key_file = server.write(folder, "server")
    tls = {"tls.cert_file": cert_file, "tls.key_file": key_file}
    if client_ca is not None:
        (folder / "clients.pem").write_bytes(client_ca.certificate_pem)
        tls["tls.client_ca_file"] = folder / "clients.pem"
    overrides = {
        "state_dir": folder / "suite",
        "server.port": 0,
        "telemetry.metrics_port": None,
        "model": {"provider": "echo"},
        **tls,
    }
    async with running_suite(suite_settings(None, overrides)) as running:
        yield int(running.address.rpartition(":")[2])


def trust(folder, ca):
    (folder / "ca.pem").write_bytes(ca.certificate_pem)
    return "--ca-file", str(folder / "ca.pem")


def present(folder, client):
    cert_file, key_file = client.write(folder, "me")
    return "--cert-file", str(cert_file), "--cert-key-file", str(key_file)


async def test_every_command_presents_the_certificate_that_the_suite_requires(tmp_path, ca):
    await clawdbot("flow", "new", "contact", state=tmp_path)
    options = (*trust(tmp_path, ca), *present(tmp_path, certificate("me", ca)))
    async with suite(tmp_path, certificate("server", ca), client_ca=ca) as port:
        at = ("--addr", f"127.0.0.1:{port}", *options)
        chat = await clawdbot("chat", "--flow", "book_table", *at, state=tmp_path, lines=BOOKING)
        models = await clawdbot("models", "list", *at, state=tmp_path)
        test = await clawdbot("models", "test", "chat", *at, state=tmp_path)
        tokens = await clawdbot("models", "tokens", "-", *at, state=tmp_path, lines="one two")
        lint = await clawdbot("flow", "lint", "contact.yaml", *at, state=tmp_path)
    assert chat.code == 0, chat.err
    assert "Booked. Reference" in chat.out
    for result in (models, test, tokens, lint):
        assert result.code == 0, result.err


async def test_the_environment_names_the_files_as_for_the_suite(tmp_path, ca):
    (_, authority_file), (_, cert_file, _, key_file) = (
        trust(tmp_path, ca),
        present(tmp_path, certificate("me", ca)),
    )
    environment = {
        "CLAWDBOT_TLS__PEER_CA_FILE": authority_file,
        "CLAWDBOT_TLS__CERT_FILE": cert_file,
        "CLAWDBOT_TLS__KEY_FILE": key_file,
    }
    async with suite(tmp_path, certificate("server", ca), client_ca=ca) as port:
        result = await clawdbot(
            *("chat", "--flow", "book_table", "--addr", f"127.0.0.1:{port}"),
            state=tmp_path,
            lines=BOOKING,
            environment=environment,
        )
    assert result.code == 0, result.err
    assert "Booked. Reference" in result.out


async def refusal(folder, port, *options, host="127.0.0.1"):
    """What the chat says about a connection that fails."""
    result = await clawdbot("chat", "--addr", f"{host}:{port}", *options, state=folder, lines="hi\n")
    assert (result.code, result.out) == (2, ""), result.err
    return re.sub(r":\d+ ", " ", result.err).removesuffix("\n")


async def test_a_server_certificate_that_is_not_accepted_says_why(tmp_path, ca, other_ca):
    trusting = trust(tmp_path, ca)
    for server, host, sentence in [
        (certificate("s", ca, starts=-3), "127.0.0.1", "has expired"),
        (certificate("s", ca, starts=1), "127.0.0.1", "is not valid yet"),
        (certificate("s", other_ca), "127.0.0.1", f"is not signed by an authority in {trusting[1]}"),
        (certificate("s", ca, host="example.org"), "localhost", "is not for localhost"),
        (certificate("s", ca, address="10.0.0.1"), "127.0.0.1", "is not for 127.0.0.1"),
    ]:
        async with suite(tmp_path, server) as port:
            message = await refusal(tmp_path, port, *trusting, host=host)
        assert message.startswith(f"The certificate of the server at {host} {sentence}"), message
        assert "\n" not in message


async def test_a_client_certificate_that_is_refused_says_why(tmp_path, ca, other_ca):
    trusting = trust(tmp_path, ca)
    async with suite(tmp_path, certificate("server", ca), client_ca=ca) as port:
        none = await refusal(tmp_path, port, *trusting)
        theirs = await refusal(tmp_path, port, *trusting, *present(tmp_path, certificate("me", other_ca)))
        expired = await refusal(
            tmp_path, port, *trusting, *present(tmp_path, certificate("me", ca, starts=-3))
        )
        plain = await refusal(tmp_path, port)
    assert none == (
        "The server at 127.0.0.1 requires a client certificate. "
        "Give --cert-file FILE and --cert-key-file FILE."
    )
    refused = f"The server at 127.0.0.1 refuses the client certificate {tmp_path / 'me.pem'}: it "
    assert theirs == f"{refused}is not signed by an authority that the server trusts."
    assert expired == f"{refused}has expired."
    assert plain == "The server at 127.0.0.1 uses TLS. Give --ca-file FILE."


async def test_a_server_with_tls_is_recognized_by_all_commands(tmp_path, ca):
    async with suite(tmp_path, certificate("server", ca)) as port:
        address = f"127.0.0.1:{port}"
        for command in (("models", "top", "--once"), ("models", "list")):
            result = await clawdbot(*command, "--addr", address, state=tmp_path)
            assert result.code == 2
            assert result.err == f"The server at {address} uses TLS. Give --ca-file FILE.\n"
        assert await refusal(tmp_path, port) == "The server at 127.0.0.1 uses TLS. Give --ca-file FILE."


@asynccontextmanager
async def proxy(folder, server, client_ca):
    """A TLS server that is not gRPC's own: it sends alerts when it refuses a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.write(folder, "server"))
    (folder / "clients.pem").write_bytes(client_ca.certificate_pem)
    context.load_verify_locations(folder / "clients.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]


async def test_a_proxy_that_refuses_a_client_certificate_says_why(tmp_path, ca, other_ca):
    trusting = trust(tmp_path, ca)
    async with proxy(tmp_path, certificate("server", ca), ca) as port:
        none = await refusal(tmp_path, port, *trusting)
        theirs = await refusal(tmp_path, port, *trusting, *present(tmp_path, certificate("me", other_ca)))
        expired = await refusal(
            tmp_path, port, *trusting, *present(tmp_path, certificate("me", ca, starts=-3))
        )
    assert "requires a client certificate" in none
    assert "is not signed by an authority that the server trusts" in theirs
    assert "has expired" in expired


async def test_a_server_without_tls_is_told_apart_from_a_wrong_certificate(tmp_path, ca):
    overrides = {"state_dir": tmp_path / "suite", "server.port": 0, "telemetry.metrics_port": None}
    async with running_suite(suite_settings(None, overrides)) as running:
        port = int(running.address.rpartition(":")[2])
        message = await refusal(tmp_path, port, *trust(tmp_path, ca))
    assert message.startswith("The server at 127.0.0.1 does not use TLS. Omit --ca-file")
