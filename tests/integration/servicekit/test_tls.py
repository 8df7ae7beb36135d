"""TLS from files: which callers are accepted, and how new files are used."""

import os
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit import tls
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.health import Health
from clawdbot_servicekit.settings.shared import TlsSettings
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.certificates import authority, certificate

LIVENESS = health_pb2.HealthCheckRequest(service="liveness")


@pytest.fixture(scope="module")
def ca():
    return authority("first")


@pytest.fixture(scope="module")
def other_ca():
    return authority("second")


@pytest.fixture
def server_files(tmp_path, ca):
    """Certificate and key of a server, with a time in the past so that every later write is a change."""
    files = certificate("server", ca).write(tmp_path, "server")
    for path in files:
        os.utime(path, (1, 1))
    return files


@asynccontextmanager
async def serving(**files):
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    port = server.add_secure_port("127.0.0.1:0", tls.server_credentials(TlsSettings(**files)))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def answers(address, ca, client=None):
    """Whether a new connection that trusts `ca` and presents `client` gets an answer."""
    credentials = grpc.ssl_channel_credentials(
        ca.certificate_pem,
        client.key_pem if client else None,
        client.certificate_pem if client else None,
    )
    async with grpc.aio.secure_channel(address, credentials) as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(LIVENESS, timeout=5)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_a_caller_that_trusts_the_authority_is_accepted(server_files, ca, other_ca):
    async with serving(cert_file=server_files[0], key_file=server_files[1]) as address:
        assert await answers(address, ca)
        assert not await answers(address, other_ca)


async def test_with_a_client_authority_only_its_callers_are_accepted(server_files, ca, other_ca, tmp_path):
    authority_file, _ = ca.write(tmp_path, "ca")
    files = {"cert_file": server_files[0], "key_file": server_files[1], "client_ca_file": authority_file}
    async with serving(**files) as address:
        assert await answers(address, ca, certificate("ours", ca))
        assert not await answers(address, ca, certificate("theirs", other_ca))
        assert not await answers(address, ca)


async def test_changed_files_are_used_by_the_next_connection(server_files, ca, other_ca, tmp_path):
    async with serving(cert_file=server_files[0], key_file=server_files[1]) as address:
        assert await answers(address, ca)
        with capture_logs() as log:
            certificate("server", other_ca).write(tmp_path, "server")
            assert await answers(address, other_ca)
        assert not await answers(address, ca)
        assert [line["event"] for line in log] == ["certificates_reloaded"]


async def test_half_changed_files_are_logged_and_the_old_ones_stay_in_use(server_files, ca, tmp_path):
    """Between writing the certificate and writing the key, every connection is still accepted."""
    async with serving(cert_file=server_files[0], key_file=server_files[1]) as address:
        fresh = certificate("server", ca)
        with capture_logs() as log:
            server_files[0].write_bytes(fresh.certificate_pem)
            assert await answers(address, ca)
            assert await answers(address, ca)
            server_files[1].write_bytes(fresh.key_pem)
            assert await answers(address, ca)
        assert [line["event"] for line in log] == ["certificates_not_reloaded", "certificates_reloaded"]


def test_unusable_files_are_a_startup_error_of_one_sentence(server_files, ca, tmp_path):
    cert, key = server_files
    _, other_key = certificate("other", ca).write(tmp_path, "other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    for files, sentence in [
        ((cert, other_key, None), f"The key in {other_key} does not belong to the certificate in {cert}."),
        ((cert, tmp_path / "no.key", None), f"Cannot read {tmp_path / 'no.key'}, named under tls"),
        ((garbage, key, None), "are not a certificate chain and its unencrypted private key in PEM"),
        ((cert, key, garbage), "does not contain a certificate authority in PEM"),
    ]:
        settings = TlsSettings(cert_file=files[0], key_file=files[1], client_ca_file=files[2])
        with pytest.raises(StartupError) as caught:
            tls.server_credentials(settings)
        assert sentence in str(caught.value)
