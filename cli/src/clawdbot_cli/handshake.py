"""Says why TLS fails where gRPC only reports "unavailable": it repeats the handshake with Python's ssl."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from clawdbot_servicekit.tls import Certificates

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds for a handshake and the first byte after it."""

SERVER_CERTIFICATE: Final = {
    9: "The certificate of the server at {address} is not valid yet. Compare the clocks of both machines.",
    10: "The certificate of the server at {address} has expired. It needs a new one.",
    18: "The certificate of the server at {address} is not signed by an authority in {ca_file}.",
    19: "The certificate of the server at {address} is not signed by an authority in {ca_file}.",
    20: "The certificate of the server at {address} is not signed by an authority in {ca_file}.",
    21: "The certificate of the server at {address} is not signed by an authority in {ca_file}.",
    62: "The certificate of the server at {address} is not for {host}. Use a host name that it contains.",
    64: "The certificate of the server at {address} is not for {host}. Use an address that it contains.",
}
"""OpenSSL's X509_V_ERR_… code → what is wrong with the server's certificate."""

REFUSED: Final = "The server at {address} refuses the client certificate {cert_file}"
UNKNOWN_AUTHORITY: Final = f"{REFUSED}: it is not signed by an authority that the server trusts."
EXPIRED: Final = f"{REFUSED}: it has expired."
NOT_YET_VALID: Final = f"{REFUSED}: it is not valid yet. Compare the clocks of both machines."
CERTIFICATE_REQUIRED: Final = (
    "The server at {address} requires a client certificate. Give --cert-file FILE and --cert-key-file FILE."
)

CLIENT_CERTIFICATE: Final = {9: NOT_YET_VALID, 10: EXPIRED}
"""OpenSSL's X509_V_ERR_… code → what is wrong with the client's certificate."""

SERVER_ANSWERS: Final = {
    "CERTIFICATE_REQUIRED": CERTIFICATE_REQUIRED,
    "UNKNOWN_CA": UNKNOWN_AUTHORITY,
    "CERTIFICATE_EXPIRED": EXPIRED,
    "CERTIFICATE": f"{REFUSED}.",
    "WRONG_VERSION_NUMBER": "The server at {address} does not use TLS. Omit --ca-file, or unset "
    "CLAWDBOT_TLS__PEER_CA_FILE.",
}
"""Part of OpenSSL's reason → sentence; the first that matches counts. gRPC's own servers send no alert."""


class _ClosedByServer(Exception):
    """The server closed the connection right after the handshake."""


async def handshake_error(address: str, host: str, port: int, files: Certificates | None) -> str | None:
    """What is wrong, in one sentence; None if a handshake succeeds or fails for another reason.

    Args:
        address: how the person wrote it.
        host: without brackets.
        port: a server listens there.
        files: for TLS; None if the call was made without.
    """
    if files is None:
        error = await _handshake(host, port, _accept_everything())
        uses_tls = error is None or isinstance(error, _ClosedByServer)
        return f"The server at {address} uses TLS. Give --ca-file FILE." if uses_tls else None
    sentence = _sentence(await _handshake(host, port, _as_grpc(files)), files)
    return sentence and sentence.format(
        address=address, host=host, ca_file=files.authority, cert_file=files.certificate
    )


def _sentence(error: Exception | None, files: Certificates) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        default = f"The certificate of the server at {{address}} is not valid: {error.verify_message}."
        return SERVER_CERTIFICATE.get(error.verify_code, default)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return next((SERVER_ANSWERS[part] for part in SERVER_ANSWERS if part in reason), None)
    if not isinstance(error, _ClosedByServer):
        return None
    if files.certificate is None or files.key is None:
        return CERTIFICATE_REQUIRED
    return CLIENT_CERTIFICATE.get(_client_verify_code(files.certificate, files.key), UNKNOWN_AUTHORITY)


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> Exception | None:
    """Connects and waits for the first byte: a server refuses a client's certificate after the handshake."""
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                answered = await reader.read(1)
                speaks_http2 = writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            finally:
                # Not close(), which waits for the server's own goodbye: gRPC's servers send none.
                writer.transport.abort()
    except (OSError, TimeoutError) as error:
        return error
    return _ClosedByServer() if speaks_http2 and not answered else None


def _as_grpc(files: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=files.authority)
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def _accept_everything() -> ssl.SSLContext:
    """For the question whether a server uses TLS at all; nothing is sent over such a connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_verify_code(certificate: Path, key: Path) -> int:
    """OpenSSL's code for a client's certificate at a server that trusts its issuer; 0: nothing is wrong.

    Python's ssl does not show the dates of a certificate, so a server in memory checks it.
    """
    client = _accept_everything()
    client.load_cert_chain(certificate, key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.load_verify_locations(cafile=certificate)
    server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    server.verify_mode = ssl.CERT_REQUIRED
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for end in (near, far, near, far):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    return 0
