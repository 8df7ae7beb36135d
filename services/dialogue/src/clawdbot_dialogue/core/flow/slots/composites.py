"""Objects, which have fields, and lists, which have items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from clawdbot_dialogue.core.flow.cel.types import CelType, ListOf, Structure
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused, SlotType
from clawdbot_dialogue.core.language.language_pack import Locale


def _object(slot: Slot, value: object, now: datetime | None) -> object:
    if not isinstance(value, Mapping):
        raise SlotRefused("not_object", ", ".join(slot.parts))
    for name in value.keys() - slot.parts.keys():
        raise SlotRefused("no_part", name)
    kept: dict[str, object] = {}
    for name, part in slot.parts.items():
        if value.get(name) is not None:
            kept[name] = part.check(value[name], now)
        elif part.required:
            raise SlotRefused("part_missing", part.spoken)
    return kept


def _list(slot: Slot, value: object, now: datetime | None) -> object:
    if not isinstance(value, list) or slot.item is None:
        raise SlotRefused("not_list")
    if len(value) < slot.min_items:
        raise SlotRefused("too_few", slot.min_items)
    if len(value) > slot.max_items:
        raise SlotRefused("too_many", slot.max_items)
    return [_item(slot.item, position, each, now) for position, each in enumerate(value)]


def _item(item: Slot, position: int, value: object, now: datetime | None) -> object:
    try:
        return item.check(value, now)
    except SlotRefused as refused:
        refused.position = position
        raise


def _structure(source: SlotSource, seen: Callable[[SlotSource], CelType]) -> CelType:
    return Structure({name: seen(field) for name, field in source.fields.items()}, "an object")


def _list_of(source: SlotSource, seen: Callable[[SlotSource], CelType]) -> CelType:
    return ListOf(seen(source.items) if source.items else "dyn")


def _show_object(slot: Slot, value: Mapping[str, object], locale: Locale) -> str:
    shown = [part.show(value[name], locale) for name, part in slot.parts.items() if name in value]
    return locale.wording["between_fields"].join(shown)


def _show_list(slot: Slot, value: list[object], locale: Locale) -> str:
    shown = [slot.item.show(each, locale) if slot.item else "" for each in value]
    # Where an item has commas of its own, they cannot part items too.
    parted = slot.item and slot.item.parts
    return locale.wording["between_items"].join(shown) if parted else locale.lists.listed(shown)


TYPES: tuple[SlotType, ...] = (
    SlotType("object", _structure, _object, options=frozenset({"fields"}), show=_show_object),
    SlotType(
        "list",
        _list_of,
        _list,
        options=frozenset({"items", "more", "min_items", "max_items"}),
        show=_show_list,
    ),
)
