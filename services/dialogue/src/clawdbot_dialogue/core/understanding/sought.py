"""What a message is looked through for: it depends on the flow and on the question that is open alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot

_FIGURES = frozenset(("integer", "number", "date", "time", "duration", "money"))


@dataclass(frozen=True, slots=True)
class Sought:
    """The slots that a message may fill or correct by what stands in it."""

    asked: str
    """The slot that was asked for; empty where none."""
    kind: str
    """Its type; empty where none."""
    slots: Mapping[str, Sequence[Slot]]
    """By type, the one that was asked for before the others."""
    counting: Sequence[Slot]
    """Those that a bare number may be for."""
    figures: bool
    """Whether figures can fill any of them."""


@functools.lru_cache(maxsize=1024)
def sought(flow: Flow, asked: str) -> Sought:
    """What is looked for while a slot is asked for; empty where none is."""
    slots: dict[str, list[Slot]] = {}
    for name, slot in flow.slots.items():
        if _marked(slot, name == asked):
            same = slots.setdefault(slot.type, [])
            same.insert(0 if name == asked else len(same), slot)
    counting = slots.get("integer", []) + slots.get("number", [])
    return Sought(
        asked=asked,
        kind=flow.slots[asked].type if asked else "",
        slots=slots,
        counting=sorted(counting, key=lambda slot: slot.name != asked),
        figures=not slots.keys().isdisjoint(_FIGURES),
    )


def _marked(slot: Slot, asked: bool) -> bool:
    """Whether something in a message can mark a value as this slot's."""
    if slot.type == "boolean" or (slot.asked_only and not asked):
        return False
    return slot.type != "string" or (slot.names_person and not asked)
