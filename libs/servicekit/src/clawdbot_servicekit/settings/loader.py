"""Reads the one YAML file and the environment into a settings class, or says in a sentence what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.document import Document, read_document
from clawdbot_servicekit.settings.environment import CONFIG_VARIABLE, overlay, underlay
from clawdbot_servicekit.settings.hints import sentences
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.settings.source import settings_from
from clawdbot_servicekit.settings.suite import SECTIONS
from clawdbot_servicekit.settings.values import relative_to

DEFAULT_FILE: Final = Path("clawdbot.yaml")
"""Read from the working directory when nobody names a file and it is there."""

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
        path: the YAML file; None for the one that CLAWDBOT_CONFIG names, else ./clawdbot.yaml if it is there,
            else none at all.
        environ: the environment; the process's own when left out.
        overrides: what the command line says, by dotted key ("server.port"); it beats everything else.

    Raises:
        StartupError: one line for each thing that is wrong, with file and line or the variable's name.
    """
    environ = os.environ if environ is None else environ
    path = find(path, environ)
    others = [key for keys in SECTIONS.values() for key in keys if key not in cls.model_fields]
    document = read_document(path, environ, others) if path else Document()
    overlay(document, environ)
    for key, value in (overrides or {}).items():
        document.put(tuple(key.split(".")), value, f"--{key.rpartition('.')[2].replace('_', '-')}")
    for each in cls.__mro__:
        underlay(document, environ, vars(each).get("borrowed", {}))
    values = {
        key: value
        for key, value in document.values.items()
        # `auth:` with nothing under it says nothing; a service leaves alone what others own.
        if value is not None and key not in others
    }
    try:
        with settings_from(values), relative_to(path.absolute().parent if path else None):
            return cls()
    except ValidationError as error:
        raise StartupError("\n".join(sentences(cls, document, error, others))) from None


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, if any."""
    if path is not None:
        return path
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
