"""Values put together over several messages: what is known, what to ask for next, when one is complete.

A partial value holds what is known of a composite value; nothing in it is empty. For a slot with parts it
maps their names to values, or to partial values where a part has parts itself. For a list it holds `items`,
the complete ones; `next`, the partial value of one more, once something of it is known; `more`, true while
the person wants to name another one; and `closed`, true once they have named all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotValueError
from clawdbot_dialogue.core.flow.templates import Template

PartialValue: TypeAlias = Mapping[str, Any]
"""JSON-able."""
Update: TypeAlias = tuple[PartialValue, SlotValueError | None]
"""An updated partial value, and the first error: what does not fit is left out."""
EMPTY: PartialValue = {}
NEXT = "next"
"""The key, and the path segment, of the list item that is being put together."""
_ITEMS, _MORE, _CLOSED = "items", "more", "closed"


def to_partial(slot: Slot, value: Any) -> Any:
    """A complete value as a partial one that lacks nothing, so that its parts can be changed."""
    if slot.item:
        return {_ITEMS: value, _CLOSED: True}
    if slot.parts:
        parts = slot.kind.split(value)
        return {name: to_partial(part, parts[name]) for name, part in slot.parts.items() if name in parts}
    return value


def is_partial_value(slot: Slot, stored: object) -> bool:
    """Whether something stored is a valid partial value of a slot; bounds relative to now are not checked."""
    if slot.item:
        known_keys = isinstance(stored, Mapping) and stored.keys() <= {_ITEMS, NEXT, _MORE, _CLOSED}
        if not known_keys or not isinstance(stored, Mapping) or not isinstance(stored.get(_ITEMS, []), list):
            return False
        items_fit = all(slot.item.accepts(each, None) for each in stored.get(_ITEMS, ()))
        return items_fit and (NEXT not in stored or is_partial_value(slot.item, stored[NEXT]))
    if not slot.parts:
        return slot.accepts(stored, None)
    if not isinstance(stored, Mapping) or not stored.keys() <= slot.parts.keys():
        return False
    return all(is_partial_value(slot.parts[name], each) for name, each in stored.items())


def known_parts(slot: Slot, partial: PartialValue) -> Iterator[tuple[str, object]]:
    """The path and value of each known part that a message can change."""
    if slot.item:
        if partial.get(_ITEMS):
            yield slot.name, partial[_ITEMS]
        yield from known_parts(slot.item, partial.get(NEXT, EMPTY))
        return
    for name, part in slot.parts.items():
        if name in partial:
            yield from (
                known_parts(part, partial[name]) if part.is_composite else ((part.name, partial[name]),)
            )


def set_part(
    slot: Slot, partial: PartialValue, path: Sequence[str], value: object, now: datetime | None
) -> Update:
    """A partial value with a part set or removed.

    Args:
        slot: The slot that it belongs to.
        partial: What is known.
        path: The names of the parts that lead to the one to set, NEXT for an item; empty for the slot itself.
        value: JSON-able; for an object, some of its fields are enough. None removes.
        now: As for Slot.check.
    """
    if not path:
        return (EMPTY, None) if value is None else _merge(slot, partial, value, now)
    if slot.item:
        item, error = set_part(slot.item, partial.get(NEXT, EMPTY), path[1:], value, now)
        updated, item_error = _append_if_complete(slot.item, _replace(partial, NEXT, item), now)
        return updated, error or item_error
    name, *inner = path
    part = slot.parts[name]
    if part.parts:
        updated, error = set_part(part, partial.get(name, EMPTY), inner, value, now)
        valid, part_error = _drop_if_invalid(part, updated, now)
        return _replace(partial, name, valid), error or part_error
    try:
        return _replace(partial, name, None if value is None else part.check(value, now)), None
    except SlotValueError as error:
        return partial, error


def _replace(partial: PartialValue, name: str, value: object) -> PartialValue:
    rest = {key: old for key, old in partial.items() if key != name}
    return rest if value is None or value == EMPTY else {**rest, name: value}


def _merge(slot: Slot, partial: PartialValue, value: object, now: datetime | None) -> Update:
    """A partial value with what was said of the slot as a whole."""
    try:
        if slot.item:
            items = [slot.item.check(each, now) for each in (value if isinstance(value, list) else [value])]
            if len(items) > slot.max_items:
                raise SlotValueError.for_slot(slot, "too_many", slot.max_items)
            return _replace({_CLOSED: True} if partial.get(_CLOSED) else EMPTY, _ITEMS, items or None), None
        if not isinstance(value, Mapping) or value.keys() - slot.parts.keys():
            return to_partial(slot, slot.check(value, now)), None
    except SlotValueError as error:
        return partial, error
    first_error: SlotValueError | None = None
    for name, each in value.items():
        partial, part_error = set_part(slot, partial, (name,), each, now)
        first_error = first_error or part_error
    return partial, first_error


def _drop_if_invalid(slot: Slot, partial: PartialValue, now: datetime | None) -> Update:
    """The partial value; nothing of it if it is complete and does not fit the slot."""
    value = complete_value(slot, partial) if partial else None
    try:
        if value is not None:
            slot.check(value, now)
    except SlotValueError as error:
        return EMPTY, error
    return partial, None


def _append_if_complete(item: Slot, partial: PartialValue, now: datetime | None) -> Update:
    """A list with its next item moved to the others, if that is complete."""
    pending, error = _drop_if_invalid(item, partial.get(NEXT, EMPTY), now)
    completed = complete_value(item, pending) if pending else None
    if completed is None:
        return _replace(partial, NEXT, pending), error
    rest = {_CLOSED: True} if partial.get(_CLOSED) else EMPTY
    return {**rest, _ITEMS: [*partial.get(_ITEMS, ()), completed]}, None


def next_missing(slot: Slot, partial: Any) -> Slot | None:
    """What to ask for next: the slot itself or a part of it; None if it is complete."""
    if slot.item:
        return _next_missing_item(slot, slot.item, partial or EMPTY)
    if not slot.parts:
        return slot if partial is None else None
    if not partial and slot.kind.asked_as_whole:
        return slot
    for name, part in slot.parts.items():
        known = (partial or EMPTY).get(name)
        if (part.required or known is not None) and (wanted := next_missing(part, known)):
            return wanted
    return None


def _next_missing_item(slot: Slot, item: Slot, partial: PartialValue) -> Slot | None:
    if pending := partial.get(NEXT):
        return next_missing(item, pending)
    if partial.get(_CLOSED) or len(partial.get(_ITEMS, ())) >= slot.max_items:
        return None
    if _MORE in partial or not _has_min_items(slot, partial):
        return next_missing(item, None) if item.parts else slot
    return slot if slot.more else None


def _has_min_items(slot: Slot, partial: PartialValue) -> bool:
    return len(partial.get(_ITEMS, ())) >= max(slot.min_items, 1)


def complete_value(slot: Slot, partial: Any) -> object | None:
    """The complete value, not yet checked as a whole; None if something is missing."""
    return None if next_missing(slot, partial) else _build(slot, partial)


def _build(slot: Slot, partial: Any) -> object:
    if slot.item:
        return list(partial.get(_ITEMS, ()))
    if slot.parts:
        parts = [(name, part) for name, part in slot.parts.items() if name in partial]
        return slot.kind.join({name: _build(part, partial[name]) for name, part in parts})
    return partial


def expect_more(partial: PartialValue) -> PartialValue:
    """A list to which the person wants to add one more item."""
    return {**partial, _MORE: True}


def close_list(slot: Slot, partial: PartialValue) -> PartialValue:
    """A list whose items the person has all named.

    Raises:
        SlotValueError: there are too few.
    """
    items = partial.get(_ITEMS, [])
    if len(items) < slot.min_items:
        raise SlotValueError.for_slot(slot, "too_few", slot.min_items)
    return {_ITEMS: items, _CLOSED: True}


def question_templates(slot: Slot, partial: PartialValue, asked: str) -> Iterator[Template]:
    """The question for a part of a slot; before the first part of an object or item, that of the whole too.

    Args:
        slot: The slot.
        partial: What is known of it.
        asked: The name of what to ask for: the slot itself or a part.
    """
    if slot.item:
        if slot.more and asked == slot.name and _MORE not in partial and _has_min_items(slot, partial):
            yield slot.more
            return
        if asked in (slot.name, slot.item.name) or not partial:
            yield slot.ask
        slot, partial = slot.item, partial.get(NEXT, EMPTY)
    elif asked == slot.name or not partial:
        yield slot.ask
    for name, part in slot.parts.items():
        if asked == part.name or asked.startswith(f"{part.name}."):
            yield from (
                question_templates(part, partial.get(name, EMPTY), asked)
                if part.is_composite
                else (part.ask,)
            )
