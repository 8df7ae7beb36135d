"""TLS from PEM files, for the server and for calls to peers.

The next handshake uses changed files, without a restart. Files that do not belong together are an error at
start; later they are logged, and the last good ones stay in use.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import structlog

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from clawdbot_servicekit.settings.shared import TlsSettings

Fingerprint = tuple[tuple[int, int, int], ...]
"""Modification time, inode and size of each file: a rotation or a swapped symbolic link changes them."""


class Certificates:
    """The content of the files, read again when they change."""

    def __init__(self, certificate: Path | None, key: Path | None, authority: Path | None) -> None:
        """Reads the files; StartupError names the one that is wrong."""
        self.certificate = certificate
        self.key = key
        self.authority = authority
        self._log = structlog.get_logger(__name__)
        self._fingerprint = self._current()
        self._read()

    def changed(self) -> bool:
        """Whether there are other, good files since the last call."""
        try:
            fingerprint = self._current()
            if fingerprint == self._fingerprint:
                return False
            self._fingerprint = fingerprint
            self._read()
        except StartupError as error:
            self._log.warning("certificates_not_reloaded", reason=str(error))
            return False
        self._log.info("certificates_reloaded", certificate=str(self.certificate or self.authority))
        return True

    def _current(self) -> Fingerprint:
        return tuple(_fingerprint(path) for path in (self.certificate, self.key, self.authority) if path)

    def _read(self) -> None:
        """Reads chain, key and authority. OpenSSL checks them first, as its errors say more than gRPC's."""
        if self.certificate and self.key:
            _check_pair(self.certificate, self.key)
        if self.authority:
            _check_authority(self.authority)
        self.chain, self.private_key = _bytes(self.certificate), _bytes(self.key)
        self.roots = _bytes(self.authority)


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
    """Credentials that follow their files; None if no certificate is configured.

    Raises:
        StartupError: one sentence that names the file that is wrong.
    """
    if settings.cert_file is None:
        return None
    files = Certificates(settings.cert_file, settings.key_file, settings.client_ca_file)

    def configuration() -> grpc.ServerCertificateConfiguration:
        pair = (files.private_key or b"", files.chain or b"")
        return grpc.ssl_server_certificate_configuration([pair], files.roots)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this at every handshake, on a thread of its own; None means unchanged.
        return configuration() if files.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        fetch,  # type: ignore[arg-type]  # None is documented; the stubs lack it
        require_client_authentication=settings.client_ca_file is not None,
    )


def peer_certificates(settings: TlsSettings) -> Certificates | None:
    """The certificates for calls to peers; None if peers are called without TLS."""
    if settings.peer_ca_file is None:
        return None
    return Certificates(settings.cert_file, settings.key_file, settings.peer_ca_file)


def channel_credentials(files: Certificates) -> grpc.ChannelCredentials:
    """Credentials for one channel, from the current content of the files."""
    return grpc.ssl_channel_credentials(files.roots, files.private_key, files.chain)


def _check_pair(certificate: Path, key: Path) -> None:
    _bytes(certificate)
    _bytes(key)
    try:
        # For an encrypted key OpenSSL would prompt on the terminal; with an empty password it fails.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartupError(
                f"The key in {key} does not belong to the certificate in {certificate}."
            ) from None
        raise StartupError(
            f"{certificate} and {key} are not a certificate chain and its unencrypted private key in PEM."
        ) from None


def _check_authority(authority: Path) -> None:
    _bytes(authority)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=authority)
    except ssl.SSLError:
        raise StartupError(f"{authority} does not contain a certificate authority in PEM.") from None


def _bytes(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return read_regular(path)
    except OSError as error:
        raise StartupError(f"Cannot read {path}, named under tls: {error.strerror}.") from None


def _fingerprint(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise StartupError(f"Cannot read {path}, named under tls: {error.strerror}.") from None
    return status.st_mtime_ns, status.st_ino, status.st_size
