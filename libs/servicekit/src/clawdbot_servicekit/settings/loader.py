"""Reads the YAML file and the environment into a settings class, or says in one sentence what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.accepted import AcceptedConfiguration, Reading
from clawdbot_servicekit.settings.document import Document, read_document
from clawdbot_servicekit.settings.environment import (
    CONFIG_VARIABLE,
    apply_environment,
    apply_fallbacks,
    worker_configuration,
)
from clawdbot_servicekit.settings.error_messages import error_messages
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.settings.source import settings_from
from clawdbot_servicekit.settings.suite import SECTIONS
from clawdbot_servicekit.settings.values import relative_to, secrets_from

DEFAULT_FILE: Final = Path("clawdbot.yaml")
"""Read from the working directory if it exists and no other file is named."""

S = TypeVar("S", bound=SharedSettings)


def load(
    cls: type[S],
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> S:
    """The settings of a service or of the suite.

    Args:
        cls: the class to make.
        path: the YAML file; None for the one that CLAWDBOT_CONFIG names, else ./clawdbot.yaml if it exists,
            else no file.
        environ: the environment; default: the process's own.
        overrides: values from the command line, by dotted key ("server.port"); they override everything else.

    Raises:
        StartupError: one line for each error, with file and line or the variable's name.
    """
    environ = os.environ if environ is None else environ
    configuration = worker_configuration(environ)
    # A worker that replaces another one runs on what its siblings run on.
    accepted = None if configuration is None else configuration.read()
    return _load(cls, partial(_read, cls, path, environ, overrides), configuration, accepted)


def _load(
    cls: type[S],
    read: Callable[[], Reading],
    configuration: AcceptedConfiguration | None,
    known: Reading | None,
) -> S:
    """The settings of a known reading, or else of a new one."""
    reading = known or read()
    settings = _settings(cls, reading)
    settings.come_from(reading, partial(_load, cls, read, configuration), configuration)
    return settings


def _read(
    cls: type[S], path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None
) -> Reading:
    path = find(path, environ)
    document = read_document(path, environ, _foreign_keys(cls)) if path else Document()
    apply_environment(document, environ)
    for key, value in (overrides or {}).items():
        document.set(tuple(key.split(".")), value, f"--{key.rpartition('.')[2].replace('_', '-')}")
    for each in cls.__mro__:
        apply_fallbacks(document, environ, vars(each).get("fallback_variables", {}))
    return Reading(document, path.absolute().parent if path else None)


def _settings(cls: type[S], reading: Reading) -> S:
    foreign_keys = _foreign_keys(cls)
    values = {
        key: value
        for key, value in reading.document.values.items()
        # An empty `auth:` sets nothing; a service ignores the others' sections.
        if value is not None and key not in foreign_keys
    }
    try:
        with settings_from(values), relative_to(reading.folder), secrets_from(reading.secrets):
            return cls()
    except ValidationError as error:
        raise StartupError("\n".join(error_messages(cls, reading.document, error, foreign_keys))) from None


def _foreign_keys(cls: type[S]) -> list[str]:
    return [key for keys in SECTIONS.values() for key in keys if key not in cls.model_fields]


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, if there is one."""
    if path is not None:
        return path
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
