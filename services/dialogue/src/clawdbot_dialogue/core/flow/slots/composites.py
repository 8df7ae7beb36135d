"""Objects, which have fields, and lists, which have items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from clawdbot_dialogue.core.flow.cel.types import CelType, ListOf, Structure
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotType, SlotValueError
from clawdbot_dialogue.core.language.language_pack import LanguagePack


def _object(slot: Slot, value: object, now: datetime | None) -> object:
    if not isinstance(value, Mapping):
        raise SlotValueError("not_object", ", ".join(slot.parts))
    for name in value.keys() - slot.parts.keys():
        raise SlotValueError("no_part", name)
    checked: dict[str, object] = {}
    for name, part in slot.parts.items():
        if value.get(name) is not None:
            checked[name] = part.check(value[name], now)
        elif part.required:
            raise SlotValueError("part_missing", part.display_name)
    return checked


def _list(slot: Slot, value: object, now: datetime | None) -> object:
    if not isinstance(value, list) or slot.item is None:
        raise SlotValueError("not_list")
    if len(value) < slot.min_items:
        raise SlotValueError("too_few", slot.min_items)
    if len(value) > slot.max_items:
        raise SlotValueError("too_many", slot.max_items)
    return [_item(slot.item, position, each, now) for position, each in enumerate(value)]


def _item(item: Slot, position: int, value: object, now: datetime | None) -> object:
    try:
        return item.check(value, now)
    except SlotValueError as error:
        error.position = position
        raise


def _object_type(source: SlotSource, cel_type: Callable[[SlotSource], CelType]) -> CelType:
    return Structure({name: cel_type(field) for name, field in source.fields.items()}, "an object")


def _list_type(source: SlotSource, cel_type: Callable[[SlotSource], CelType]) -> CelType:
    return ListOf(cel_type(source.items) if source.items else "dyn")


def _format_object(slot: Slot, value: Mapping[str, object], locale: LanguagePack) -> str:
    formatted = [part.format(value[name], locale) for name, part in slot.parts.items() if name in value]
    return locale.messages["between_fields"].join(formatted)


def _format_list(slot: Slot, value: list[object], locale: LanguagePack) -> str:
    formatted = [slot.item.format(each, locale) if slot.item else "" for each in value]
    # Items with parts contain commas themselves, so commas cannot separate the items.
    has_commas = slot.item and slot.item.parts
    if has_commas:
        return locale.messages["between_items"].join(formatted)
    return locale.list_grammar.format_list(formatted)


TYPES: tuple[SlotType, ...] = (
    SlotType("object", _object_type, _object, options=frozenset({"fields"}), format=_format_object),
    SlotType(
        "list",
        _list_type,
        _list,
        options=frozenset({"items", "more", "min_items", "max_items"}),
        format=_format_list,
    ),
)
