"""Diagnostics: what is wrong with a flow's source, where, and what to do about it.

Rendered in the form that editors and CI systems parse: file:line:column, then the source line with a caret
under the error.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clawdbot_servicekit.suggestions import nearest

from clawdbot_dialogue.core.flow.diagnostic_codes import CODES

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a source."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""


START = Mark(1, 1)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning."""

    severity: Severity
    code: str
    """A key of CODES: "undeclared-slot"."""
    message: str
    """One sentence."""
    hint: str
    """What to do about it; may be empty."""
    line: int
    column: int
    file: str

    def render(self, source: str) -> str:
        """The diagnostic for a person: position, message, the line of `source` with a caret, the hint."""
        return self.render_with_lines(source.splitlines())

    def render_with_lines(self, source: Sequence[str]) -> str:
        """Like render, for a source already split into lines: one source may have many diagnostics."""
        lines = [f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"]
        text = source[self.line - 1] if self.line <= len(source) else ""
        if text.strip():
            shown, caret = _excerpt(text, self.column)
            lines += [f"{self.line:>5} | {shown}", f"      | {caret}^"]
        if self.hint:
            lines.append(f"       hint: {self.hint}")
        return "\n".join(lines)


_MAX_LINE_WIDTH = 160
"""Characters of a source line that are shown: a minified flow must not flood a terminal."""


def _excerpt(text: str, column: int) -> tuple[str, str]:
    """The part of a line around a column, and the padding that puts a caret under it."""
    start = 0 if column < _MAX_LINE_WIDTH else column - _MAX_LINE_WIDTH // 2
    shown = text[start : start + _MAX_LINE_WIDTH]
    before = shown[: column - 1 - start]
    # A wide (Chinese, Japanese) character takes two columns of a terminal; a tab is repeated as a tab.
    padding = "".join(
        "\t" if char == "\t" else "  " if unicodedata.east_asian_width(char) in "WF" else " "
        for char in before
    )
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in shown
    ), padding


class InvalidFlowError(ValueError):
    """A source that does not compile; `diagnostics` holds every diagnostic, in source order."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        errors = [each for each in diagnostics if each.severity == "error"]
        self.file = errors[0].file
        self.summary = "; ".join(f"{each.line}:{each.column} {each.message}" for each in errors[:3])
        more = len(errors) - 3
        if more > 0:
            self.summary += f"; and {more} more"
        super().__init__(f"{self.file}: {self.summary}")


MAX_PER_SEVERITY = 100
"""Errors, and warnings, that are kept for one source: a hostile one could have one for each line."""


_MAX_MESSAGE_LENGTH = 500
"""Characters of a message: names come from the source, and may be as long as the whole of it."""


class TooManyErrors(Exception):
    """MAX_PER_SEVERITY errors were found, so checking stops; the collector has them."""


class DiagnosticCollector:
    """Collects the diagnostics of one source: up to MAX_PER_SEVERITY errors, and as many warnings."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._by_severity: dict[Severity, dict[Diagnostic, None]] = {"error": {}, "warning": {}}

    def error(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        """Adds something that keeps the flow from running.

        Raises:
            TooManyErrors: there are MAX_PER_SEVERITY errors already.
        """
        if not self._add("error", code, message, mark, hint):
            raise TooManyErrors

    def warning(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        """Adds something that runs, but is probably a mistake."""
        self._add("warning", code, message, mark, hint)

    def _add(self, severity: Severity, code: str, message: str, mark: Mark, hint: str) -> bool:
        if code not in CODES:
            raise KeyError(code)
        found = self._by_severity[severity]
        has_room = len(found) < MAX_PER_SEVERITY
        if has_room:
            message, hint = _shortened(message), _shortened(hint)
            found[Diagnostic(severity, code, message, hint, mark.line, mark.column, self._file)] = None
        elif len(found) == MAX_PER_SEVERITY:
            message = f"There are more than {MAX_PER_SEVERITY} {severity}s; the others are not shown."
            found[Diagnostic(severity, "too-many", message, "", mark.line, mark.column, self._file)] = None
        return has_room

    @property
    def has_errors(self) -> bool:
        """Whether there is at least one error."""
        return bool(self._by_severity["error"])

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All diagnostics, in source order."""
        found = [*self._by_severity["error"], *self._by_severity["warning"]]
        return tuple(sorted(found, key=lambda each: (each.line, each.column, each.severity, each.code)))


def _shortened(text: str) -> str:
    return f"{text[:_MAX_MESSAGE_LENGTH]}…" if len(text) > _MAX_MESSAGE_LENGTH else text


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name most like `name`, or with the known names when none is similar."""
    names = sorted(set(known))
    if close := nearest(name, names):
        return f'Did you mean "{close}"?'
    if not names:
        return "None is defined."
    shown = ", ".join(names[:8])
    return f"Available: {shown}{', …' if len(names) > 8 else ''}."
