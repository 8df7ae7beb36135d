"""TLS from PEM files, for the server and towards peers.

Changed files are taken up by the next handshake, without a restart; files that do not fit together are
refused at start, and later reported while the last good ones stay in use.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import structlog

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.shared import TlsSettings

Stamp = tuple[tuple[int, int, int], ...]
"""Modification time, inode and size of each file: a rotation changes them, a swapped symbolic link too."""


class Certificates:
    """What the files hold, read again when they change."""

    def __init__(self, certificate: Path | None, key: Path | None, authority: Path | None) -> None:
        """Reads the files; StartupError says which one is wrong."""
        self.certificate = certificate
        self.key = key
        self.authority = authority
        self._log = structlog.get_logger(__name__)
        self._stamp = self._now()
        self._read()

    def changed(self) -> bool:
        """Whether other, good files are there since the last time that it was asked."""
        try:
            stamp = self._now()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._read()
        except StartupError as error:
            self._log.warning("certificates_not_taken_up", reason=str(error))
            return False
        self._log.info("certificates_taken_up", certificate=str(self.certificate or self.authority))
        return True

    def _now(self) -> Stamp:
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.authority) if path)

    def _read(self) -> None:
        """Chain, key and authority, checked by OpenSSL before gRPC gets them: gRPC says less."""
        if self.certificate and self.key:
            _check_pair(self.certificate, self.key)
        if self.authority:
            _check_authority(self.authority)
        self.chain, self.private_key = _bytes(self.certificate), _bytes(self.key)
        self.roots = _bytes(self.authority)


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
    """Credentials that follow their files; None where no certificate is configured.

    Raises:
        StartupError: one sentence with the file that is wrong.
    """
    if settings.cert_file is None:
        return None
    files = Certificates(settings.cert_file, settings.key_file, settings.client_ca_file)

    def configuration() -> grpc.ServerCertificateConfiguration:
        pair = (files.private_key or b"", files.chain or b"")
        return grpc.ssl_server_certificate_configuration([pair], files.roots)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at every handshake, on a thread of its own; None means as before.
        return configuration() if files.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        fetch,  # type: ignore[arg-type]  # None is documented; the stubs lack it
        require_client_authentication=settings.client_ca_file is not None,
    )


def peer_certificates(settings: TlsSettings) -> Certificates | None:
    """What calls to peers are made with; None where peers are called without TLS."""
    if settings.peer_ca_file is None:
        return None
    return Certificates(settings.cert_file, settings.key_file, settings.peer_ca_file)


def channel_credentials(files: Certificates) -> grpc.ChannelCredentials:
    """Credentials for one channel, of what the files hold now."""
    return grpc.ssl_channel_credentials(files.roots, files.private_key, files.chain)


def _check_pair(certificate: Path, key: Path) -> None:
    _bytes(certificate)
    _bytes(key)
    try:
        # An encrypted key would make OpenSSL ask on the terminal: the empty password makes it fail.
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
        raise StartupError(f"{authority} does not hold a certificate authority in PEM.") from None


def _bytes(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"Cannot read {path}, named under tls: {error.strerror}.") from None


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StartupError(f"Cannot read {path}, named under tls: {error.strerror}.") from None
    return found.st_mtime_ns, found.st_ino, found.st_size
