"""Reads the YAML file and the environment into a settings class, or says in one sentence what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.document import Document, read_document
from clawdbot_servicekit.settings.environment import CONFIG_VARIABLE, apply_environment, apply_fallbacks
from clawdbot_servicekit.settings.error_messages import error_messages
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.settings.source import settings_from
from clawdbot_servicekit.settings.suite import SECTIONS
from clawdbot_servicekit.settings.values import relative_to

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
    named, path = path, find(path, environ)
    foreign_keys = [key for keys in SECTIONS.values() for key in keys if key not in cls.model_fields]
    document = read_document(path, environ, foreign_keys) if path else Document()
    apply_environment(document, environ)
    for key, value in (overrides or {}).items():
        document.set(tuple(key.split(".")), value, f"--{key.rpartition('.')[2].replace('_', '-')}")
    for each in cls.__mro__:
        apply_fallbacks(document, environ, vars(each).get("fallback_variables", {}))
    values = {
        key: value
        for key, value in document.values.items()
        # An empty `auth:` sets nothing; a service ignores the others' sections.
        if value is not None and key not in foreign_keys
    }
    try:
        with settings_from(values), relative_to(path.absolute().parent if path else None):
            settings = cls()
    except ValidationError as error:
        raise StartupError("\n".join(error_messages(cls, document, error, foreign_keys))) from None
    settings.come_from(partial(load, cls, named, environ, overrides), document.origin_of)
    return settings


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, if there is one."""
    if path is not None:
        return path
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
