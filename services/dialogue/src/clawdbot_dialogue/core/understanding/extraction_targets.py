"""The slots that a message is searched for. They depend only on the flow and on what was asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot

_NUMERIC_TYPES = frozenset(("integer", "number", "date", "time", "duration", "money"))


@dataclass(frozen=True, slots=True)
class ExtractionTargets:
    """The slots that values in a message may fill or correct."""

    asked: str
    """The path of the slot, or part of a slot, that was asked for; empty if none."""
    asked_type: str
    """Its type, or the type of its items if it is a list; empty if nothing was asked for."""
    by_type: Mapping[str, Sequence[Slot]]
    """The slots by type, those that were asked for first; parts in place of the composite slots they belong
    to."""
    composites: Sequence[Slot]
    """What has parts: slots, and list items that are being filled."""
    datetimes: Sequence[Slot]
    """The datetimes among the composites and their parts."""
    primary_date: Slot | None
    """The slot that a date goes to first, if that slot has a maximum."""
    numeric: Sequence[Slot]
    """The slots that a bare number may fill."""
    people_slot: Slot | None
    """The only numeric slot, if it may count people."""
    needs_numerals: bool
    """Whether any of them needs numbers in the text as digits."""


@functools.lru_cache(maxsize=1024)
def targets_for(flow: Flow, asked: str) -> ExtractionTargets:
    """What to search a message for while `asked` is open; `asked` is empty if no question is."""
    slots: dict[str, list[Slot]] = {}
    composites: list[Slot] = []
    for root in flow.slots.values():
        reached = is_within(asked, root.name)
        # Items with parts are filled one after the other, and only while their list is asked for.
        if reached or not (root.asked_only or (root.item and root.item.parts)):
            holder = root.item or root
            if holder.parts:
                composites.append(holder)
            for slot in _leaf_slots(holder):
                if _is_recognizable(slot, asked=is_within(slot.name, asked)):
                    same = slots.setdefault(slot.type, [])
                    same.insert(0 if is_within(slot.name, asked) else len(same), slot)
    question = flow.askable.get(asked)
    datetimes = [each for holder in composites for each in holder.walk() if each.type == "datetime"]
    counting = slots.get("integer", []) + slots.get("number", [])
    return ExtractionTargets(
        asked=asked,
        asked_type=(question.item or question).type if question else "",
        by_type=slots,
        composites=composites,
        datetimes=sorted(datetimes, key=lambda each: not is_within(asked, each.name)),
        primary_date=next((_primary_date(slot, datetimes) for slot in slots.get("date", ())), None),
        numeric=sorted(counting, key=lambda slot: not is_within(slot.name, asked)),
        people_slot=_people_slot(flow, asked, counting),
        needs_numerals=not slots.keys().isdisjoint(_NUMERIC_TYPES),
    )


def _people_slot(flow: Flow, asked: str, counting: Sequence[Slot]) -> Slot | None:
    if len(counting) != 1 or counting[0].is_list_item:
        return None
    slot, words = counting[0], flow.vocabulary.slots[counting[0].name]
    return slot if slot.name == asked or words.counts_any(flow.locale.people_units) else None


def is_within(name: str, whole: str) -> bool:
    """Whether a path names a slot or a part of it; False if `whole` is empty."""
    return bool(whole) and (name == whole or name.startswith(f"{whole}."))


def _primary_date(slot: Slot, datetimes: Sequence[Slot]) -> Slot | None:
    whole = next((each for each in datetimes if each.parts["date"] is slot), slot)
    return whole if whole.maximum else None


def _leaf_slots(slot: Slot) -> list[Slot]:
    """The slot itself, or the parts at the bottom of its tree."""
    return [each for each in slot.walk() if not each.parts]


def _is_recognizable(slot: Slot, *, asked: bool) -> bool:
    """Whether a value of this slot can be recognized in a message."""
    if slot.type == "boolean":
        return False
    return slot.type != "string" or (slot.is_person_name and not asked)
