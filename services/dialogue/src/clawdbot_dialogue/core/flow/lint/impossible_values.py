"""Finds comparisons of a slot with a value that it cannot have: not one of an enum's values, not a date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from clawdbot_dialogue.core.flow.diagnostics import MAX_PER_SEVERITY, DiagnosticCollector, suggest
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.slots.datetimes import parse_date, parse_datetime, parse_time
from clawdbot_dialogue.core.flow.slots.slot import Slot

_LITERAL = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_SLOT_FIRST = re.compile(rf"\bslots\.(\w+)\s*(?:[=!]=|[<>]=?)\s*({_LITERAL})")
_LITERAL_FIRST = re.compile(rf"({_LITERAL})\s*(?:[=!]=|[<>]=?)\s*slots\.(\w+)")
_IN_LIST = re.compile(rf"\bslots\.(\w+)\s+in\s*\[\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*)\s*,?\s*\]")
_EXAMPLES = {
    "date": '"2026-12-01"',
    "time": '"19:30", with two digits each',
    "datetime": '"2026-12-01T19:30"',
}


def check_impossible_values(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Warns of each such value in a guard or an argument."""
    checked = {
        name: slot for name, slot in flow.slots.items() if slot.type == "enum" or slot.type in _EXAMPLES
    }
    if not checked:
        return
    found = (
        (checked[name], literal[1:-1], path, offset)
        for path, text in _expressions(document.data, ())
        for name, literal, offset in _comparisons(text)
        if name in checked and not _is_possible(checked[name], literal[1:-1])
    )
    # A hint takes milliseconds to compute, so none is computed for what would not be shown.
    for slot, value, path, offset in islice(found, MAX_PER_SEVERITY + 1):
        message = f'The slot "{slot.name}" is never "{value}".'
        diagnostics.warning("not-a-value", message, document.at_offset(path, offset), _hint(slot, value))


def _expressions(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    """The guards of a document, and its texts that are an expression."""
    if isinstance(data, dict):
        for key, each in data.items():
            if isinstance(each, str):
                if key == "if" or each.startswith("${"):
                    yield (*path, key), each
            else:
                yield from _expressions(each, (*path, key))
    elif isinstance(data, list):
        for index, each in enumerate(data):
            if isinstance(each, str) and each.startswith("${"):
                yield (*path, index), each
            elif not isinstance(each, str):
                yield from _expressions(each, (*path, index))


def _comparisons(text: str) -> Iterator[tuple[str, str, int]]:
    """(slot, literal, offset of the literal)."""
    for found in _SLOT_FIRST.finditer(text):
        yield found[1], found[2], found.start(2)
    for found in _LITERAL_FIRST.finditer(text):
        yield found[2], found[1], found.start(1)
    for found in _IN_LIST.finditer(text):
        for literal in re.finditer(_LITERAL, found[2]):
            yield found[1], literal[0], found.start(2) + literal.start()


def _is_possible(slot: Slot, value: str) -> bool:
    if slot.type == "enum":
        return value in slot.values
    # A comparison with an empty text tests whether there is a value.
    if slot.type == "date":
        return value == "" or parse_date(value) is not None
    if slot.type == "datetime":  # a date sorts before all datetimes of that day
        return value in ("", parse_datetime(value)) or parse_date(value) is not None
    return value in ("", parse_time(value))


def _hint(slot: Slot, value: str) -> str:
    if slot.type == "enum":
        return suggest(value, slot.values)
    return f"Write a {slot.type} as {_EXAMPLES[slot.type]}."
