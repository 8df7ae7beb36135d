"""Finds slots that nothing in the flow asks for, shows, tests or passes to a tool."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document

_SLOT_REFERENCE = re.compile(r"(?:\bslots\.|\{\s*(?:slots\.)?)(\w+)")
_ASSIGNMENT_KEYS = frozenset({"set", "give", "take"})
"""Keys whose values have slots as their keys."""


def check_unused_slots(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Warns of each."""
    unused = set(flow.slots) - {slot for state in flow.states.values() for slot in state.collect}
    # Most flows collect all their slots, and need not be searched.
    if unused:
        unused -= set(_uses(document.data))
    for name in sorted(unused):
        message = f'The slot "{name}" is never asked for or used.'
        diagnostics.warning(
            "unused-slot", message, document.key_at(("slots", name)), "Collect it, or remove it."
        )


def _uses(data: object, key: object = "") -> Iterator[str]:
    """The slots that texts, expressions and actions name; to clear a slot is not to use it."""
    if isinstance(data, str):
        yield from _SLOT_REFERENCE.findall(data)
    elif isinstance(data, list):
        for each in data:
            yield from _uses(each, key)
    elif isinstance(data, dict):
        if key in _ASSIGNMENT_KEYS:
            yield from data
        for inner, each in data.items():
            yield from _uses(each, inner)
