"""The environment as settings: CLAWDBOT_SERVER__PORT=9000 is `server: {port: 9000}`.

Two underscores step into a section; a value that begins with [ or { is JSON.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.document import Document
from clawdbot_servicekit.worker_ipc import WorkerContext

PREFIX: Final = "CLAWDBOT_"

CONFIG_VARIABLE: Final = "CLAWDBOT_CONFIG"
"""Path of the configuration file, where --config does not say."""

_KUBERNETES: Final = re.compile(
    r"CLAWDBOT(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Kubernetes gives every pod such variables for each Service of its namespace (enableServiceLinks); one named
clawdbot-dialogue would otherwise look like settings."""


def overlay(document: Document, environ: Mapping[str, str]) -> None:
    """Puts the variables that begin with CLAWDBOT_ over the document.

    Raises:
        StartupError: for a value that begins like JSON and is not.
    """
    for name in sorted(environ):
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE and not _KUBERNETES.fullmatch(name):
            document.put(place_of(name), value_of(name, environ[name]), name)


def underlay(document: Document, environ: Mapping[str, str], borrowed: Mapping[str, str]) -> None:
    """Puts variables that are known from elsewhere in, where the document says nothing itself.

    Args:
        document: what was read so far.
        environ: the environment.
        borrowed: dotted key → name of the variable.
    """
    for key, name in borrowed.items():
        place = tuple(key.split("."))
        said = document.says(place) or document.says((*place[:-1], f"{place[-1]}_file"))
        if environ.get(name) and not said:
            document.put(place, environ[name], name)


def value_of(name: str, text: str) -> Any:
    """What a variable says: JSON for lists, objects and null; else the text as it is."""
    if not text.startswith(("[", "{")):
        return None if text == "null" else text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StartupError(
            f"{name}: expected JSON after the opening bracket: {error.msg} at column {error.colno}."
        ) from None


def place_of(name: str) -> tuple[str, ...]:
    """The place that a variable sets."""
    return tuple(name.removeprefix(PREFIX).lower().split("__"))


def variable_of(place: tuple[str | int, ...]) -> str:
    """The variable that sets the place."""
    return PREFIX + "__".join(str(part) for part in place).upper()


def worker_seat() -> WorkerContext | None:
    """This process's place under a supervisor, if it has one."""
    return WorkerContext.of(os.environ)


def inherited(**more: str) -> dict[str, str]:
    """The environment for a process that this one starts: its own, and `more`."""
    return {**os.environ, **more}
