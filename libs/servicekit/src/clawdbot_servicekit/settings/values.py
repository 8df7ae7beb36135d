"""The types of a configuration's values: durations, sizes, secrets, paths and sections.

They turn what people write ("30s", "4MiB") into plain numbers. They know no service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clawdbot_servicekit.durations import duration_seconds

UNITS_OF_SIZE: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(value: object) -> object:
    """Seconds from "30s", "1m30s", "250ms" or a plain number. Other types are left to pydantic.

    Raises:
        ValueError: for text that is not a duration.
    """
    if isinstance(value, bool):
        raise ValueError("expected a duration such as 30s, 10m or 2.5 (seconds)")  # noqa: TRY004 - pydantic's way
    if not isinstance(value, str):
        return value
    for parse in (duration_seconds, float):
        try:
            return parse(value)
        except ValueError:
            continue
    raise ValueError("expected a duration such as 30s, 10m or 2.5 (seconds)")


def matching(pattern: str, expected: str) -> AfterValidator:
    """Validates that a whole text matches, in words that people understand.

    Args:
        pattern: a regular expression, without anchors.
        expected: what is allowed, with an example.
    """
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def size(value: object) -> object:
    """Bytes from "4MiB", "500kB" or a plain number. Other types are left to pydantic.

    Raises:
        ValueError: for text that is not a size.
    """
    if isinstance(value, bool):
        raise ValueError("expected a size such as 4MiB, 500kB or 1048576 (bytes)")  # noqa: TRY004 - pydantic's way
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip().lower())
    if match is None or match[2] not in UNITS_OF_SIZE:
        raise ValueError("expected a size such as 4MiB, 500kB or 1048576 (bytes)")
    return int(float(match[1]) * UNITS_OF_SIZE[match[2]])


_folder: ContextVar[Path | None] = ContextVar("folder", default=None)
"""The configuration file's folder, while it is read. pydantic-settings passes no validation context."""


@contextmanager
def relative_to(folder: Path | None) -> Iterator[None]:
    """Inside the block relative paths start at the folder; None: at the working directory."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def resolve_path(path: Path) -> Path:
    """The path with `~` expanded; a relative one starts at the folder of the configuration file."""
    path, folder = path.expanduser(), _folder.get()
    return folder / path if folder else path


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
"""A duration: "30s", "10m", "1m30s", "250ms" or a number of seconds; a float of seconds in the code."""

Bytes = Annotated[int, BeforeValidator(size), Field(ge=0)]
"""A size: "4MiB", "500kB" or a number; an int of bytes in the code."""

ConfigPath = Annotated[Path, AfterValidator(resolve_path)]
"""A path. A relative one starts at the folder of the configuration file, or at the working directory."""

Secret = SecretStr
"""A text that is never shown. A Section also reads it from a file: `api_key_file: /run/secrets/key`."""


class Section(BaseModel):
    """Part of a configuration: frozen, without unknown keys, each secret also readable from `<key>_file`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for name in cls.secret_fields():
            file_key = f"{name}_file"
            if file_key in filled and file_key not in cls.model_fields:
                if filled.get(name) is not None:
                    raise PydanticCustomError(
                        "secret_file", "give {other} or {key}, not both", {"key": file_key, "other": name}
                    )
                filled[name] = read_secret(file_key, filled.pop(file_key))
        return filled

    @classmethod
    def secret_fields(cls) -> tuple[str, ...]:
        """The names of the fields that hold a Secret."""
        return tuple(
            name
            for name, field in cls.model_fields.items()
            if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
        )


def read_secret(key: str, value: object) -> str:
    """The text of a secret's file without its last line break.

    Raises:
        PydanticCustomError: if it cannot be read or is empty. It names the file, never its content.
    """
    if not isinstance(value, str | Path):
        raise PydanticCustomError("secret_file", "expected the path of a file", {"key": key})
    path = resolve_path(Path(value))
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PydanticCustomError(
            "secret_file",
            "cannot read {path}: {reason}",
            {"key": key, "path": str(path), "reason": reason or "unreadable"},
        ) from None
    if not text:
        raise PydanticCustomError("secret_file", "{path} is empty", {"key": key, "path": str(path)})
    return text
