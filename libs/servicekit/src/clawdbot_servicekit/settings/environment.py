"""The environment as settings: CLAWDBOT_SERVER__PORT=9000 is `server: {port: 9000}`.

Two underscores separate a section from its key. A value that starts with [ or { is JSON.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.accepted import AcceptedConfiguration
from clawdbot_servicekit.settings.document import Document
from clawdbot_servicekit.worker_ipc import WorkerContext

PREFIX: Final = "CLAWDBOT_"

CONFIG_VARIABLE: Final = "CLAWDBOT_CONFIG"
"""Path of the configuration file, if --config does not set it."""

_KUBERNETES: Final = re.compile(
    r"CLAWDBOT(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Kubernetes sets such variables in every pod, for each Service of its namespace (enableServiceLinks). Those
of a Service named clawdbot-dialogue would otherwise look like settings."""


def apply_environment(document: Document, environ: Mapping[str, str]) -> None:
    """Sets what the variables that start with CLAWDBOT_ say; they override the document.

    Raises:
        StartupError: for a value that starts like JSON and is not valid JSON.
    """
    for name in sorted(environ):
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE and not _KUBERNETES.fullmatch(name):
            document.set(path_of(name), parse_value(name, environ[name]), name)


def apply_fallbacks(document: Document, environ: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Sets keys that the document leaves out from variables of other tools.

    Args:
        document: what has been read so far.
        environ: the environment.
        variables: dotted key → name of the variable.
    """
    for key, name in variables.items():
        path = tuple(key.split("."))
        is_set = document.has(path) or document.has((*path[:-1], f"{path[-1]}_file"))
        if environ.get(name) and not is_set:
            document.set(path, environ[name], name)


def parse_value(name: str, text: str) -> Any:
    """The value of a variable: JSON for lists, objects and null; any other text as it is."""
    if not text.startswith(("[", "{")):
        return None if text == "null" else text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise StartupError(
            f'{name}: expected JSON after the opening bracket, such as ["one", "two"]; '
            f"column {error.colno} is wrong."
        ) from None


def path_of(name: str) -> tuple[str, ...]:
    """The key path that a variable sets."""
    return tuple(name.removeprefix(PREFIX).lower().split("__"))


def variable_of(path: tuple[str | int, ...]) -> str:
    """The variable that sets a key path."""
    return PREFIX + "__".join(str(part) for part in path).upper()


def worker_context() -> WorkerContext | None:
    """This process's place under a supervisor; None if it has no supervisor."""
    return WorkerContext.from_environ(os.environ)


def worker_configuration(environ: Mapping[str, str]) -> AcceptedConfiguration | None:
    """What the workers of this process's supervisor run on; None in a process that has no supervisor."""
    context = WorkerContext.from_environ(environ)
    return None if context is None else AcceptedConfiguration(context.configuration)


def child_environ(**more: str) -> dict[str, str]:
    """The environment for a child process: this process's own, and `more`."""
    return {**os.environ, **more}


def disable_grpc_fork_support() -> None:
    """Switches gRPC's fork handlers off, unless the environment says otherwise. Only an import reads that.

    uvloop forks to start a program. gRPC starts its threads again in the fork, where they crash before the
    program runs: on a busy server once in some 40 times.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
