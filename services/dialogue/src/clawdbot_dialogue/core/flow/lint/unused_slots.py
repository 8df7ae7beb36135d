"""Finds slots that nothing in the flow asks for, shows, looks at or hands to a tool."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document

_USE = re.compile(r"(?:\bslots\.|\{\s*(?:slots\.)?)(\w+)")
_GIVEN_VALUES = frozenset({"set", "give", "take"})
"""Keys under which slots are keys."""


def unused_slots(flow: Flow, document: Document, findings: Findings) -> None:
    """Adds a warning for each."""
    unseen = set(flow.slots) - {slot for state in flow.states.values() for slot in state.collect}
    # Most flows ask for all their slots, and have not to be searched.
    if unseen:
        unseen -= set(_uses(document.data))
    for name in sorted(unseen):
        mark = document.key_at(("slots", name))
        hint = "Collect it, or remove it."
        findings.warning("unused-slot", f'Nothing asks for "{name}" or uses it.', mark, hint)


def _uses(data: object, key: object = "") -> Iterator[str]:
    """The slots that texts, expressions and actions name; what is only forgotten is not used."""
    if isinstance(data, str):
        yield from _USE.findall(data)
    elif isinstance(data, list):
        for each in data:
            yield from _uses(each, key)
    elif isinstance(data, dict):
        if key in _GIVEN_VALUES:
            yield from data
        for inner, each in data.items():
            yield from _uses(each, inner)
