"""The options that say how a command uses TLS. What is not given is read from the environment.

The variables are those of the suite's own settings: what its services use to call each other is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular

from clawdbot_cli.client_settings import ClientSettings

if TYPE_CHECKING:  # it imports gRPC, which most commands do without
    from clawdbot_servicekit.tls import Certificates


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """PEM files. None: not given."""

    ca_file: Path | None = None
    """The authorities that may have signed the server's certificate."""
    cert_file: Path | None = None
    """The caller's own certificate chain, for a server that asks for one."""
    cert_key_file: Path | None = None

    def arguments(self) -> dict[str, Path | None]:
        """Option → its value."""
        return {
            "--ca-file": self.ca_file,
            "--cert-file": self.cert_file,
            "--cert-key-file": self.cert_key_file,
        }

    def certificates(self, address: str) -> Certificates | None:
        """What the files contain; None for no TLS: without an authority, and on a Unix socket.

        Raises:
            StartupError: a file is missing or unusable, or is of no use without another one.
        """
        if address.startswith("unix:"):
            return None
        variables = ClientSettings()
        authority = _readable("--ca-file", self.ca_file, "PEER_CA_FILE", variables.tls__peer_ca_file)
        if authority is None:
            if self.cert_file is not None or self.cert_key_file is not None:
                raise StartupError(
                    "A client certificate is sent over TLS only: give --ca-file, too, with the authority "
                    "that signed the server's certificate."
                )
            return None
        certificate = _readable("--cert-file", self.cert_file, "CERT_FILE", variables.tls__cert_file)
        key = _readable("--cert-key-file", self.cert_key_file, "KEY_FILE", variables.tls__key_file)
        if (certificate is None) != (key is None):
            missing = "--cert-key-file or CLAWDBOT_TLS__KEY_FILE"
            if certificate is None:
                missing = "--cert-file or CLAWDBOT_TLS__CERT_FILE"
            raise StartupError(f"A client certificate needs its private key, and vice versa: give {missing}.")
        from clawdbot_servicekit.tls import Certificates

        return Certificates(certificate, key, authority)


def _readable(option: str, given: Path | None, variable: str, default: Path | None) -> Path | None:
    """The file that an option names, else the one of the variable CLAWDBOT_TLS__…, else None."""
    path = default if given is None else given
    if path is None:
        return None
    path = path.expanduser()
    try:
        read_regular(path)
    except OSError as error:
        origin = f"CLAWDBOT_TLS__{variable}: {path}" if given is None else f"{option} {path}"
        raise StartupError(f"{origin}: cannot be read: {error.strerror}.") from None
    return path
