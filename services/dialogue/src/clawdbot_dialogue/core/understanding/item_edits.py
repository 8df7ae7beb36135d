"""Edits of list items that have parts: adds several, removes one or changes one, identified by its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.normalization import normalize
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets, is_within, targets_for
from clawdbot_dialogue.core.understanding.slot_extraction import ExtractedValues, extract_slots


def current_items(context: MessageContext, slot: Slot) -> list[object]:
    """The items of a list slot so far; empty for any other slot."""
    items = context.known.get(slot.name)
    return items if isinstance(items, list) else []


def list_update(slot: Slot, before: list[object], after: list[object]) -> Iterator[Command]:
    """The command that gives the list its new items, if they changed."""
    if after != before:
        value = after if after or not slot.min_items else None
        yield Command("correct_slot" if before else "set_slot", slot.name, value)


def several_items(
    context: MessageContext, targets: ExtractionTargets, text: str, now: datetime
) -> Command | None:
    """A list of the items with parts that one message names: "2 soups and 3 cakes"."""
    language = context.flow.locale
    for slot in context.flow.composite_slots:
        if slot.item and slot.item.parts and is_within(context.asked, slot.name):
            segments = language.list_grammar.split_items(text)
            several = len(segments) > 1
            extracted = [_extract(context, targets, each, now) for each in segments] if several else []
            items = [item for values in extracted if (item := item_parts(slot, values.by_slot))]
            needed = {name for name, part in slot.item.parts.items() if part.required}
            if len(items) > 1 and all(needed <= each.keys() for each in items):
                made = [slot.item.kind.join(each) for each in items]
                before = current_items(context, slot)
                return Command("correct_slot" if before else "set_slot", slot.name, [*before, *made])
    return None


def edit_item(
    context: MessageContext, slot: Slot, text: str, now: datetime, *, removes: bool
) -> Iterator[Command]:
    """Removes the items whose parts are named, or starts a new item with them."""
    item = item_parts(slot, _extract(context, targets_for(context.flow, slot.name), text, now).by_slot)
    if item and removes:
        yield from remove_items(context, slot, item)
    elif item:
        yield Command("correct_slot", f"{slot.name}.{NEXT}", item)


def remove_items(context: MessageContext, slot: Slot, parts: Mapping[str, object]) -> Iterator[Command]:
    """The list without the items that have these parts."""
    before = current_items(context, slot)
    after = [each for each in before if not _matches(each, parts)]
    yield from list_update(slot, before, after)


def _matches(item: object, parts: Mapping[str, object]) -> bool:
    return isinstance(item, Mapping) and all(item.get(name) == value for name, value in parts.items())


def names_item(context: MessageContext, slot: Slot, normalized: str) -> bool:
    """Whether a message names an item of the list by one of its enum parts."""
    words = context.flow.vocabulary.slots
    return any(
        _matches(item, {name: found.value})
        for name, part in (slot.item.parts if slot.item else {}).items()
        if part.type == "enum"
        for found in words[part.name].find_values(normalized)
        for item in current_items(context, slot)
    )


def changed_items(context: MessageContext, normalized: str, now: datetime) -> Command | None:
    """The list with an item changed, identified by its parts: "make the margherita large"."""
    splits = context.flow.locale.list_grammar.item_changes(normalized)
    for slot in context.flow.composite_slots if splits else ():
        before = current_items(context, slot)
        if not before or slot.item is None or slot.item.type != "object":
            continue
        targets = targets_for(context.flow, slot.name)
        for which, into in splits:
            old_values, new_values = [_extract(context, targets, each, now) for each in (which, into)]
            if old_values.alternatives or new_values.alternatives:
                continue
            new = item_parts(slot, new_values.by_slot)
            selected = _selected(context, before, which, item_parts(slot, old_values.by_slot)) if new else []
            after = [
                {**each, **new} if each in selected and isinstance(each, dict) else each for each in before
            ]
            if after != before:
                return Command("correct_slot", slot.name, after)
    return None


def _selected(
    context: MessageContext, items: list[object], which: str, named: Mapping[str, object]
) -> list[object]:
    """The items that `which` refers to: all, the last, or the one that has the named parts."""
    lists = context.flow.locale.list_grammar
    if lists.all_items.match(which):
        return items
    if lists.last_item.match(which):
        return items[-1:]
    alike = [each for each in items if _matches(each, named)] if named else []
    return alike if all(each == alike[0] for each in alike) else []


def _extract(
    context: MessageContext, targets: ExtractionTargets, text: str, now: datetime
) -> ExtractedValues:
    """The values in a piece of a message, regardless of what is known already."""
    return extract_slots(context.flow, targets, {}, raw=text, normalized=normalize(text), now=now)


def item_parts(slot: Slot, found: Mapping[str, object]) -> dict[str, Any]:
    """The parts of a list's next item among what was found, by name; without incomplete datetimes."""
    whole = found.get(f"{slot.name}.{NEXT}")
    if isinstance(whole, str) and slot.item:
        return dict(slot.item.kind.split(whole))
    start = f"{slot.name}.{NEXT}."
    parts = {path.removeprefix(start): value for path, value in found.items() if path.startswith(start)}
    return {name: value for name, value in parts.items() if "." not in name}
