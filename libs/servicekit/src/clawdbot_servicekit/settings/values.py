"""The types of a configuration's values: durations, sizes, numbers, secrets, paths and sections.

They turn what people write ("30s", "4MiB") into plain numbers. Each number has an upper
bound, which its type or its field gives, and none takes true for 1. They know no service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from clawdbot_servicekit.regular_files import read_regular

UNITS_OF_SIZE: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)

HOUR: Final = 3600
DAY: Final = 24 * HOUR
YEAR: Final = 365 * DAY
MAX_SIZE: Final = 2**30
"""Bytes. gRPC takes at most 2**31 - 1, and no message of protobuf is larger."""
MAX_COUNT: Final = 2**31 - 1
"""The largest whole number that gRPC, and the fields of the contracts, take."""
MAX_SECRET_FILE: Final = 64 * 1024
"""Bytes of a file that holds one secret."""
_HUGE: Final = 2**64
"""Stands for all larger numbers, so that a bound refuses them in its own words."""
_MAX_DIGITS: Final = 18
"""Of text that Python reads exactly as a whole number within the range."""


def seconds(value: object) -> object:
    """Seconds from "30s", "1m30s", "250ms" or a plain number. Other types are left to pydantic.

    Raises:
        ValueError: for text that is not a duration.
    """
    if isinstance(value, bool):
        raise ValueError("expected a duration such as 30s, 10m or 2.5 (seconds)")  # noqa: TRY004 - pydantic's way
    if not isinstance(value, str):
        return _within_range(value)
    for parse in (duration_seconds, float):
        try:
            return _within_range(parse(value))
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
        return _to_int(_within_range(value))
    match = _SIZE.fullmatch(value.strip().lower())
    if match is None or match[2] not in UNITS_OF_SIZE:
        raise ValueError("expected a size such as 4MiB, 500kB or 1048576 (bytes)")
    return int(min(float(match[1]) * UNITS_OF_SIZE[match[2]], _HUGE))


def whole(value: object) -> object:
    """A whole number, or text of one. Other types are left to pydantic.

    Raises:
        ValueError: for true and false, which Python takes for 1 and 0.
    """
    if isinstance(value, bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic's way
    return _to_int(number(value))


def number(value: object) -> object:
    """A number, or text of one. Other types are left to pydantic. ValueError as for `whole`."""
    if isinstance(value, bool):
        raise ValueError("expected a number")  # noqa: TRY004 - pydantic's way
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        with suppress(ValueError):
            value = float(value)
    return _within_range(value)


def _within_range(value: object) -> object:
    """The value, or if it is a number that no bound allows, one that Python can convert."""
    # In this order NaN stays as it is.
    return min(max(value, -_HUGE), _HUGE) if isinstance(value, int | float) else value


def _to_int(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_secrets: ContextVar[dict[str, str] | None] = ContextVar("secrets", default=None)
"""Path → text of the files of secrets, while a configuration is read."""


@contextmanager
def secrets_from(known: dict[str, str]) -> Iterator[None]:
    """Inside the block the text of a secret's file is the known one; what has to be read is added."""
    token = _secrets.set(known)
    try:
        yield
    finally:
        _secrets.reset(token)


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


_Duration = Annotated[float, BeforeValidator(seconds), Field(allow_inf_nan=False)]

Seconds = Annotated[_Duration, Field(ge=0, le=DAY)]
"""A duration: "30s", "10m", "1m30s", "250ms" or a number of seconds; a float of seconds in the code."""

Wait = Annotated[_Duration, Field(ge=0, le=HOUR)]
"""A duration that somebody waits for, such as the end of the process."""

Lifetime = Annotated[_Duration, Field(ge=0, le=10 * YEAR)]
"""How long something stored is kept."""

Bytes = Annotated[int, BeforeValidator(size), Field(ge=0, le=MAX_SIZE)]
"""A size: "4MiB", "500kB" or a number; an int of bytes in the code."""

Whole = Annotated[int, BeforeValidator(whole)]
"""A whole number. Each field gives its bounds, at most MAX_COUNT."""

Number = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
"""A number; each field gives its bounds."""

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

    def files(self) -> Iterator[Path]:
        """The files that it names, also in its inner sections; not those of secrets, which have been read."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Path):
                    yield each
                elif isinstance(each, Section):
                    yield from each.files()

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
    path, known = resolve_path(Path(value)), _secrets.get()
    if known is not None and str(path) in known:
        return known[str(path)]
    try:
        text = read_regular(path, MAX_SECRET_FILE).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PydanticCustomError(
            "secret_file",
            "cannot read {path}: {reason}",
            {"key": key, "path": str(path), "reason": reason or "unreadable"},
        ) from None
    if not text:
        raise PydanticCustomError("secret_file", "{path} is empty", {"key": key, "path": str(path)})
    if known is not None:
        known[str(path)] = text
    return text
