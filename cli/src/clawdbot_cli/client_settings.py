"""What a command that calls services reads from its environment: the API key, and files for TLS."""

from __future__ import annotations

import os
from pathlib import Path

from clawdbot_servicekit.errors import StartupError
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Read once, when the command starts."""

    model_config = SettingsConfigDict(
        env_prefix="CLAWDBOT_",
        env_ignore_empty=True,
        env_parse_none_str="null",  # as in the suite's settings
        frozen=True,
        extra="ignore",
    )

    api_key: SecretStr | None = None
    """CLAWDBOT_API_KEY: sent to the server with every call."""
    tls__peer_ca_file: Path | None = None
    """CLAWDBOT_TLS__PEER_CA_FILE: use TLS, and trust these authorities."""
    tls__cert_file: Path | None = None
    tls__key_file: Path | None = None
    """CLAWDBOT_TLS__CERT_FILE and CLAWDBOT_TLS__KEY_FILE: sent to servers that ask for a certificate."""


def silence_grpc_log() -> None:
    """Keeps gRPC's own log off the terminal, unless GRPC_VERBOSITY is set: the command reports errors itself.

    gRPC reads only the environment, and only once, when it is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def api_key(file: Path | None) -> str | None:
    """The API key: the content of the file, else CLAWDBOT_API_KEY, else None.

    Raises:
        StartupError: the file cannot be read, or the key cannot be sent as a header.
    """
    if file is None:
        secret = ClientSettings().api_key
        key, origin = (secret.get_secret_value().strip() if secret else ""), "CLAWDBOT_API_KEY"
    else:
        key, origin = _read(file).strip(), f"--key-file {file}"
        if not key:
            raise StartupError(f"{origin}: the file is empty. It must contain the key and nothing else.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StartupError(f"{origin}: not a valid key. A key is printable ASCII without spaces.")
    return key or None


def _read(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StartupError(f"--key-file {file}: not a valid key. The file is not UTF-8 text.") from None
    except OSError as error:
        raise StartupError(f"--key-file {file}: cannot be read: {error.strerror}.") from None
