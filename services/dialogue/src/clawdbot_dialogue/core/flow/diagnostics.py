"""What is wrong with a flow's source, where, and what to do about it.

Rendered in the form that editors and CI systems pick up: file:line:column, then the line with a caret under
the fault.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clawdbot_dialogue.core.flow.diagnostic_codes import CODES

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""


START = Mark(1, 1)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding."""

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
        """The finding for a person: place, sentence, the line of `source` with a caret, the hint."""
        return self.beside(source.splitlines())

    def beside(self, source: Sequence[str]) -> str:
        """The same, of a source that is cut into lines already: there may be many findings on one."""
        lines = [f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"]
        text = source[self.line - 1] if self.line <= len(source) else ""
        if text.strip():
            shown, caret = _excerpt(text, self.column)
            lines += [f"{self.line:>5} | {shown}", f"      | {caret}^"]
        if self.hint:
            lines.append(f"       hint: {self.hint}")
        return "\n".join(lines)


_WIDEST = 160
"""Characters of a source line that are shown: a minified flow must not flood a terminal."""


def _excerpt(text: str, column: int) -> tuple[str, str]:
    """The part of a line around a column, and the space that puts a caret under it."""
    start = 0 if column < _WIDEST else column - _WIDEST // 2
    shown = text[start : start + _WIDEST]
    before = shown[: column - 1 - start]
    # A wide (Chinese, Japanese) character takes two columns of a terminal, a tab as many as it does above.
    pad = "".join(
        "\t" if each == "\t" else "  " if unicodedata.east_asian_width(each) in "WF" else " "
        for each in before
    )
    return "".join(
        each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in shown
    ), pad


class FlowInvalid(ValueError):
    """A source that is no usable flow; `diagnostics` holds every finding, in source order."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        errors = [each for each in diagnostics if each.severity == "error"]
        self.file = errors[0].file
        self.summary = "; ".join(f"{each.line}:{each.column} {each.message}" for each in errors[:3])
        more = len(errors) - 3
        if more > 0:
            self.summary += f"; and {more} more"
        super().__init__(f"{self.file}: {self.summary}")


MOST_FINDINGS = 100
"""Errors, and warnings, that are told of one source: a hostile one could have as many as it has lines."""


_LONGEST = 500
"""Characters of a message: names come from the source, and may be as long as it."""


class TooManyErrors(Exception):
    """There is no use in looking on; what was found is in the Findings."""


class Findings:
    """Collects the findings on one source, up to MOST_FINDINGS errors and as many warnings."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[Severity, dict[Diagnostic, None]] = {"error": {}, "warning": {}}

    def error(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        """Something without which the flow cannot run.

        Raises:
            TooManyErrors: this one is beyond what is told.
        """
        if not self._add("error", code, message, mark, hint):
            raise TooManyErrors

    def warning(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        """Something that runs and is likely not meant."""
        self._add("warning", code, message, mark, hint)

    def _add(self, severity: Severity, code: str, message: str, mark: Mark, hint: str) -> bool:
        if code not in CODES:
            raise KeyError(code)
        found = self._found[severity]
        message, hint = (f"{each[:_LONGEST]}…" if len(each) > _LONGEST else each for each in (message, hint))
        room = len(found) < MOST_FINDINGS
        if room:
            found[Diagnostic(severity, code, message, hint, mark.line, mark.column, self._file)] = None
        elif len(found) == MOST_FINDINGS:
            sentence = f"There are more {severity}s than the {MOST_FINDINGS} that are told."
            found[Diagnostic(severity, "too-many", sentence, "", mark.line, mark.column, self._file)] = None
        return room

    @property
    def failed(self) -> bool:
        """True once there is an error."""
        return bool(self._found["error"])

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All of them, in source order."""
        found = [*self._found["error"], *self._found["warning"]]
        return tuple(sorted(found, key=lambda each: (each.line, each.column, each.severity, each.code)))


_MOST_COMPARED = 200
"""Names that a misspelt one is compared with: each takes about 20 µs."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the known name most like `name`, or with all of them when there are few."""
    names = sorted(set(known))
    similar = [each for each in names if abs(len(each) - len(name)) <= 3][:_MOST_COMPARED]
    close = difflib.get_close_matches(name, similar, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    if not names:
        return "There is none."
    shown = ", ".join(names[:8])
    return f"There are: {shown}{', …' if len(names) > 8 else ''}."
