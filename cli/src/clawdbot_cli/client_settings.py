"""What a command that calls services takes from its surroundings: the key that it shows."""

from __future__ import annotations

import os
from pathlib import Path

from clawdbot_servicekit.errors import StartupError
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class CallerSettings(BaseSettings):
    """Read once, when the command begins."""

    model_config = SettingsConfigDict(env_prefix="CLAWDBOT_", frozen=True, extra="ignore")

    api_key: SecretStr | None = None
    """CLAWDBOT_API_KEY: goes to the server with every call."""


def quiet_transport() -> None:
    """Keeps gRPC's own log off the terminal, unless somebody asked for it: the command says what it means.

    gRPC takes this from the environment alone, once, when it is loaded.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def api_key(file: Path | None) -> str | None:
    """The key to show: the file's content, else CLAWDBOT_API_KEY, else none.

    Raises:
        StartupError: for a file that cannot be read, or a key that no header can carry.
    """
    if file is None:
        secret = CallerSettings().api_key
        key, origin = (secret.get_secret_value().strip() if secret else ""), "CLAWDBOT_API_KEY"
    else:
        key, origin = _read(file).strip(), f"--key-file {file}"
        if not key:
            raise StartupError(f"{origin}: the file is empty; it should hold the key and nothing else.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StartupError(f"{origin}: this is no key; it holds characters that a key cannot have.")
    return key or None


def _read(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise StartupError(f"--key-file {file}: this is no key; the file is not text.") from None
    except OSError as error:
        raise StartupError(f"--key-file {file}: cannot be read: {error.strerror}.") from None
