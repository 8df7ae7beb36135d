"""Finds comparisons of a slot with what it cannot be: a value that an enum has not, a day that is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from clawdbot_dialogue.core.flow.diagnostics import MOST_FINDINGS, Findings, nearest
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.slots.datetimes import parse_date, parse_datetime, parse_time
from clawdbot_dialogue.core.flow.slots.slot import Slot

_TEXT = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_AFTER = re.compile(rf"\bslots\.(\w+)\s*(?:[=!]=|[<>]=?)\s*({_TEXT})")
_BEFORE = re.compile(rf"({_TEXT})\s*(?:[=!]=|[<>]=?)\s*slots\.(\w+)")
_AMONG = re.compile(rf"\bslots\.(\w+)\s+in\s*\[\s*({_TEXT}(?:\s*,\s*{_TEXT})*)\s*,?\s*\]")
_EXAMPLES = {
    "date": '"2026-12-01"',
    "time": '"19:30", two digits each',
    "datetime": '"2026-12-01T19:30"',
}


def impossible_values(flow: Flow, document: Document, findings: Findings) -> None:
    """Adds a warning for each value in a guard or an argument."""
    checked = {
        name: slot for name, slot in flow.slots.items() if slot.type == "enum" or slot.type in _EXAMPLES
    }
    if not checked:
        return
    found = (
        (checked[name], literal[1:-1], path, offset)
        for path, text in _expressions(document.data, ())
        for name, literal, offset in _compared(text)
        if name in checked and not _can_be(checked[name], literal[1:-1])
    )
    # To find what was meant takes milliseconds each; more are not told.
    for slot, value, path, offset in islice(found, MOST_FINDINGS + 1):
        message = f'"{slot.name}" is never "{value}".'
        findings.warning("not-a-value", message, document.inside(path, offset), _hint(slot, value))


def _expressions(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    """The guards of a document, and its texts with an expression in them."""
    if isinstance(data, dict):
        for key, each in data.items():
            if isinstance(each, str):
                if key == "if" or each.startswith("${"):
                    yield (*path, key), each
            else:
                yield from _expressions(each, (*path, key))
    elif isinstance(data, list):
        for at, each in enumerate(data):
            if isinstance(each, str) and each.startswith("${"):
                yield (*path, at), each
            elif not isinstance(each, str):
                yield from _expressions(each, (*path, at))


def _compared(text: str) -> Iterator[tuple[str, str, int]]:
    """(slot, literal, where the literal begins)."""
    for found in _AFTER.finditer(text):
        yield found[1], found[2], found.start(2)
    for found in _BEFORE.finditer(text):
        yield found[2], found[1], found.start(1)
    for found in _AMONG.finditer(text):
        for literal in re.finditer(_TEXT, found[2]):
            yield found[1], literal[0], found.start(2) + literal.start()


def _can_be(slot: Slot, value: str) -> bool:
    if slot.type == "enum":
        return value in slot.values
    # An empty text asks whether there is any.
    if slot.type == "date":
        return value == "" or parse_date(value) is not None
    if slot.type == "datetime":  # a day orders before all moments of it
        return value in ("", parse_datetime(value)) or parse_date(value) is not None
    return value in ("", parse_time(value))


def _hint(slot: Slot, value: str) -> str:
    return nearest(value, slot.values) if slot.type == "enum" else f"A {slot.type} is {_EXAMPLES[slot.type]}."
