"""What a message does to items with parts: names several, takes one off or changes it, known by its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.normalization import fold
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import Situation
from clawdbot_dialogue.core.understanding.extraction_targets import Sought, sought, within
from clawdbot_dialogue.core.understanding.slot_extraction import Values, find_values


def held(situation: Situation, slot: Slot) -> list[object]:
    """The items that the list has; none for what is no list."""
    items = situation.known.get(slot.name)
    return items if isinstance(items, list) else []


def becomes(slot: Slot, before: list[object], after: list[object]) -> Iterator[Command]:
    """The list with other items, if they are others."""
    if after != before:
        value = after if after or not slot.min_items else None
        yield Command("correct_slot" if before else "set_slot", slot.name, value)


def several(situation: Situation, wanted: Sought, text: str, now: datetime) -> Command | None:
    """A list of the items with parts that one message names one after the other: "2 soups and 3 cakes"."""
    language = situation.flow.locale
    for slot in situation.flow.composed:
        if slot.item and slot.item.parts and within(situation.asked, slot.name):
            segments = language.lists.items(text)
            said = [_values(situation, wanted, each, now) for each in segments] if len(segments) > 1 else []
            items = [item for values in said if (item := parts_of(slot, values.by_slot))]
            needed = {name for name, part in slot.item.parts.items() if part.required}
            if len(items) > 1 and all(needed <= each.keys() for each in items):
                made = [slot.item.kind.join(each) for each in items]
                before = held(situation, slot)
                return Command("correct_slot" if before else "set_slot", slot.name, [*before, *made])
    return None


def item_edited(
    situation: Situation, slot: Slot, text: str, now: datetime, *, drops: bool
) -> Iterator[Command]:
    """An item with parts: known again by those that are named, or begun."""
    item = parts_of(slot, _values(situation, sought(situation.flow, slot.name), text, now).by_slot)
    if item and drops:
        yield from dropped(situation, slot, item)
    elif item:
        yield Command("correct_slot", f"{slot.name}.{NEXT}", item)


def dropped(situation: Situation, slot: Slot, parts: Mapping[str, object]) -> Iterator[Command]:
    """The list without the items that have these parts."""
    before = held(situation, slot)
    after = [each for each in before if not _has(each, parts)]
    yield from becomes(slot, before, after)


def _has(item: object, parts: Mapping[str, object]) -> bool:
    return isinstance(item, Mapping) and all(item.get(name) == value for name, value in parts.items())


def is_named(situation: Situation, slot: Slot, folded: str) -> bool:
    """Whether a message names an item with parts that the list has, by one of its choices."""
    words = situation.flow.vocabulary.slots
    return any(
        _has(item, {name: found.value})
        for name, part in (slot.item.parts if slot.item else {}).items()
        if part.type == "enum"
        for found in words[part.name].values_in(folded)
        for item in held(situation, slot)
    )


def changed(situation: Situation, folded: str, now: datetime) -> Command | None:
    """The list with an item changed, known again by its parts: "make the margherita large"."""
    splits = situation.flow.locale.lists.changes(folded)
    for slot in situation.flow.composed if splits else ():
        before = held(situation, slot)
        if not before or slot.item is None or slot.item.type != "object":
            continue
        wanted = sought(situation.flow, slot.name)
        for which, into in splits:
            said, wish = [_values(situation, wanted, each, now) for each in (which, into)]
            if said.either or wish.either:
                continue
            new = parts_of(slot, wish.by_slot)
            meant = _meant(situation, before, which, parts_of(slot, said.by_slot)) if new else []
            after = [{**each, **new} if each in meant and isinstance(each, dict) else each for each in before]
            if after != before:
                return Command("correct_slot", slot.name, after)
    return None


def _meant(
    situation: Situation, items: list[object], which: str, named: Mapping[str, object]
) -> list[object]:
    """What some words mean: all items, the last, or the only one that has the parts that they name."""
    lists = situation.flow.locale.lists
    if lists.all_items.match(which):
        return items
    if lists.last_item.match(which):
        return items[-1:]
    alike = [each for each in items if _has(each, named)] if named else []
    return alike if all(each == alike[0] for each in alike) else []


def _values(situation: Situation, wanted: Sought, text: str, now: datetime) -> Values:
    """What a piece of a message says, whatever is known already."""
    return find_values(situation.flow, wanted, {}, raw=text, folded=fold(text), now=now)


def parts_of(slot: Slot, found: Mapping[str, object]) -> dict[str, Any]:
    """The parts of a list's next item among what was found, by name; not halves of a datetime within it."""
    whole = found.get(f"{slot.name}.{NEXT}")
    if isinstance(whole, str) and slot.item:
        return dict(slot.item.kind.split(whole))
    start = f"{slot.name}.{NEXT}."
    parts = {path.removeprefix(start): value for path, value in found.items() if path.startswith(start)}
    return {name: value for name, value in parts.items() if "." not in name}
