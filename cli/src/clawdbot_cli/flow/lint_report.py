"""The output of `clawdbot flow lint`: for a person, as JSON, or as annotations of a GitHub pull request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot_dialogue.flow_toolkit import Diagnostic

from clawdbot_cli.flow.lint import LintResult
from clawdbot_cli.sanitize import sanitize

FORMAT_VERSION: Final = 1
"""Of the JSON object; grows when a field is removed or changes its meaning."""


def as_text(result: LintResult) -> str:
    """Each diagnostic with its line and a caret, and a last line with the counts."""
    parts: list[str] = []
    for file in result.files:
        lines = file.source.text.splitlines() if file.diagnostics else []
        parts += [sanitize(each.render_with_lines(lines)) for each in file.diagnostics]
    return "\n".join([*parts, summary(result)])


def summary(result: LintResult) -> str:
    """Example: 3 files: 1 error, 2 warnings (0.12 s)."""
    counts = ", ".join(_count(result.count(severity), severity) for severity in ("error", "warning"))
    return f"{_count(len(result.files), 'file')}: {counts} ({result.seconds:.2f} s)"


def as_json(result: LintResult) -> str:
    """One object, described in docs/cli.md."""
    report: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "diagnostics": [_object(each) for each in _diagnostics(result)],
        "summary": {
            "files": len(result.files),
            "errors": result.count("error"),
            "warnings": result.count("warning"),
            "seconds": round(result.seconds, 3),
        },
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def as_github(result: LintResult) -> str:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    return "\n".join([*map(_annotation, _diagnostics(result)), summary(result)])


def _diagnostics(result: LintResult) -> Iterator[Diagnostic]:
    for file in result.files:
        yield from file.diagnostics


def _object(diagnostic: Diagnostic) -> Mapping[str, object]:
    keys = ("file", "line", "column", "severity", "code", "message", "hint")
    return {key: getattr(diagnostic, key) for key in keys}


def _annotation(diagnostic: Diagnostic) -> str:
    file, line, column = _property(diagnostic.file), diagnostic.line, diagnostic.column
    properties = f"file={file},line={line},col={column},title={diagnostic.code}"
    message = f"{diagnostic.message} {diagnostic.hint}".rstrip()
    return f"::{diagnostic.severity} {properties}::{_escape(message)}"


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _escape(value).replace(":", "%3A").replace(",", "%2C")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


FORMATS: Final[Mapping[str, Callable[[LintResult], str]]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
}
