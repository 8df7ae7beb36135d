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
    """The slot, or part of one, that was asked for; empty where none."""
    kind: str
    """Its type, of a list its items'; empty where none."""
    slots: Mapping[str, Sequence[Slot]]
    """By type, what was asked for before the others; parts instead of the slots that they make up."""
    records: Sequence[Slot]
    """What has parts: slots, and items that are being put together."""
    moments: Sequence[Slot]
    """The datetimes among those and their parts."""
    dated: Slot | None
    """What a day is for first, where it takes none after some day."""
    counting: Sequence[Slot]
    """Those that a bare number may be for."""
    people: Slot | None
    """The only one of those, if it may count people."""
    figures: bool
    """Whether figures can fill any of them."""


@functools.lru_cache(maxsize=1024)
def sought(flow: Flow, asked: str) -> Sought:
    """What is looked for while a slot is asked for; empty where none is."""
    slots: dict[str, list[Slot]] = {}
    records: list[Slot] = []
    for root in flow.slots.values():
        reached = within(asked, root.name)
        # One item of a list after the other is put together from parts, while it is asked for.
        if reached or not (root.asked_only or (root.item and root.item.parts)):
            record = root.item or root
            if record.parts:
                records.append(record)
            for slot in _simple(record):
                if _marked(slot, asked=within(slot.name, asked)):
                    same = slots.setdefault(slot.type, [])
                    same.insert(0 if within(slot.name, asked) else len(same), slot)
    question = flow.askable.get(asked)
    moments = [each for record in records for each in record.within() if each.type == "datetime"]
    counting = slots.get("integer", []) + slots.get("number", [])
    return Sought(
        asked=asked,
        kind=(question.item or question).type if question else "",
        slots=slots,
        records=records,
        moments=sorted(moments, key=lambda each: not within(asked, each.name)),
        dated=next((_dated(slot, moments) for slot in slots.get("date", ())), None),
        counting=sorted(counting, key=lambda slot: not within(slot.name, asked)),
        people=_people(flow, asked, counting),
        figures=not slots.keys().isdisjoint(_FIGURES),
    )


def _people(flow: Flow, asked: str, counting: Sequence[Slot]) -> Slot | None:
    if len(counting) != 1 or counting[0].listed:
        return None
    slot, words = counting[0], flow.vocabulary.slots[counting[0].name]
    return slot if slot.name == asked or words.counts_any(flow.locale.people) else None


def within(name: str, whole: str) -> bool:
    """Whether a name is that of a slot, or of a part of it; of none where there is none."""
    return bool(whole) and (name == whole or name.startswith(f"{whole}."))


def _dated(slot: Slot, moments: Sequence[Slot]) -> Slot | None:
    whole = next((each for each in moments if each.parts["date"] is slot), slot)
    return whole if whole.maximum else None


def _simple(slot: Slot) -> list[Slot]:
    """What a slot is made up of in the end."""
    return [each for each in slot.within() if not each.parts]


def _marked(slot: Slot, *, asked: bool) -> bool:
    """Whether something in a message can mark a value as this slot's."""
    if slot.type == "boolean":
        return False
    return slot.type != "string" or (slot.names_person and not asked)
