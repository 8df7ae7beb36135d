"""What `clawdbot flow lint` says: for a person, as JSON, or as annotations of a pull request on GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic

from clawdbot_cli.flow.lint import Lint
from clawdbot_cli.sanitize import harmless

FORMAT: Final = 1
"""Of the JSON object; grows when a field changes its meaning or goes."""


def text(lint: Lint) -> str:
    """Each finding with its line and a caret, and a last line with the counts."""
    told: list[str] = []
    for file in lint.files:
        lines = file.source.text.splitlines() if file.diagnostics else []
        told += [harmless(each.beside(lines)) for each in file.diagnostics]
    return "\n".join([*told, summary(lint)])


def summary(lint: Lint) -> str:
    """As in: 3 files: 1 error, 2 warnings (0.12 s)."""
    counts = ", ".join(_count(lint.count(severity), severity) for severity in ("error", "warning"))
    return f"{_count(len(lint.files), 'file')}: {counts} ({lint.seconds:.2f} s)"


def as_json(lint: Lint) -> str:
    """One object; docs/cli.md says what is in it."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "diagnostics": [_object(each) for each in _all(lint)],
        "summary": {
            "files": len(lint.files),
            "errors": lint.count("error"),
            "warnings": lint.count("warning"),
            "seconds": round(lint.seconds, 3),
        },
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def github(lint: Lint) -> str:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    return "\n".join([*map(_annotation, _all(lint)), summary(lint)])


def _all(lint: Lint) -> Iterator[Diagnostic]:
    for file in lint.files:
        yield from file.diagnostics


def _object(found: Diagnostic) -> Mapping[str, object]:
    keys = ("file", "line", "column", "severity", "code", "message", "hint")
    return {key: getattr(found, key) for key in keys}


def _annotation(found: Diagnostic) -> str:
    place = f"file={_property(found.file)},line={found.line},col={found.column},title={found.code}"
    said = f"{found.message} {found.hint}".rstrip()
    return f"::{found.severity} {place}::{_escaped(said)}"


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _escaped(value).replace(":", "%3A").replace(",", "%2C")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


FORMATS: Final[Mapping[str, Callable[[Lint], str]]] = {"text": text, "json": as_json, "github": github}
