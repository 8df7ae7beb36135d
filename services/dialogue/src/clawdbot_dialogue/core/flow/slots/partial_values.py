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

from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused
from clawdbot_dialogue.core.flow.templates import Template

Draft: TypeAlias = Mapping[str, Any]
"""JSON-able."""
Update: TypeAlias = tuple[Draft, SlotRefused | None]
"""An updated partial value, and the first error: what does not fit is left out."""
EMPTY: Draft = {}
NEXT = "next"
"""The key, and the path segment, of the list item that is being put together."""
_ITEMS, _MORE, _CLOSED = "items", "more", "closed"


def drafted(slot: Slot, value: Any) -> Any:
    """A complete value as a partial one that lacks nothing, so that its parts can be changed."""
    if slot.item:
        return {_ITEMS: value, _CLOSED: True}
    if slot.parts:
        parts = slot.kind.split(value)
        return {name: drafted(part, parts[name]) for name, part in slot.parts.items() if name in parts}
    return value


def is_draft(slot: Slot, stored: object) -> bool:
    """Whether something stored is a valid partial value of a slot; bounds relative to now are not checked."""
    if slot.item:
        known_keys = isinstance(stored, Mapping) and stored.keys() <= {_ITEMS, NEXT, _MORE, _CLOSED}
        if not known_keys or not isinstance(stored, Mapping) or not isinstance(stored.get(_ITEMS, []), list):
            return False
        items_fit = all(slot.item.takes(each, None) for each in stored.get(_ITEMS, ()))
        return items_fit and (NEXT not in stored or is_draft(slot.item, stored[NEXT]))
    if not slot.parts:
        return slot.takes(stored, None)
    if not isinstance(stored, Mapping) or not stored.keys() <= slot.parts.keys():
        return False
    return all(is_draft(slot.parts[name], each) for name, each in stored.items())


def known(slot: Slot, partial: Draft) -> Iterator[tuple[str, object]]:
    """The path and value of each known part that a message can change."""
    if slot.item:
        if partial.get(_ITEMS):
            yield slot.name, partial[_ITEMS]
        yield from known(slot.item, partial.get(NEXT, EMPTY))
        return
    for name, part in slot.parts.items():
        if name in partial:
            yield from known(part, partial[name]) if part.composed else ((part.name, partial[name]),)


def put(slot: Slot, partial: Draft, path: Sequence[str], value: object, now: datetime | None) -> Update:
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
        item, error = put(slot.item, partial.get(NEXT, EMPTY), path[1:], value, now)
        updated, item_error = _append_if_complete(slot.item, _replace(partial, NEXT, item), now)
        return updated, error or item_error
    name, *inner = path
    part = slot.parts[name]
    if part.parts:
        updated, error = put(part, partial.get(name, EMPTY), inner, value, now)
        valid, part_error = _drop_if_invalid(part, updated, now)
        return _replace(partial, name, valid), error or part_error
    try:
        return _replace(partial, name, None if value is None else part.check(value, now)), None
    except SlotRefused as error:
        return partial, error


def _replace(partial: Draft, name: str, value: object) -> Draft:
    rest = {key: old for key, old in partial.items() if key != name}
    return rest if value is None or value == EMPTY else {**rest, name: value}


def _merge(slot: Slot, partial: Draft, value: object, now: datetime | None) -> Update:
    """A partial value with what was said of the slot as a whole."""
    try:
        if slot.item:
            items = [slot.item.check(each, now) for each in (value if isinstance(value, list) else [value])]
            if len(items) > slot.max_items:
                raise SlotRefused.of(slot, "too_many", slot.max_items)
            return _replace({_CLOSED: True} if partial.get(_CLOSED) else EMPTY, _ITEMS, items or None), None
        if not isinstance(value, Mapping) or value.keys() - slot.parts.keys():
            return drafted(slot, slot.check(value, now)), None
    except SlotRefused as error:
        return partial, error
    first_error: SlotRefused | None = None
    for name, each in value.items():
        partial, part_error = put(slot, partial, (name,), each, now)
        first_error = first_error or part_error
    return partial, first_error


def _drop_if_invalid(slot: Slot, partial: Draft, now: datetime | None) -> Update:
    """The partial value; nothing of it if it is complete and does not fit the slot."""
    value = whole(slot, partial) if partial else None
    try:
        if value is not None:
            slot.check(value, now)
    except SlotRefused as error:
        return EMPTY, error
    return partial, None


def _append_if_complete(item: Slot, partial: Draft, now: datetime | None) -> Update:
    """A list with its next item moved to the others, if that is complete."""
    pending, error = _drop_if_invalid(item, partial.get(NEXT, EMPTY), now)
    completed = whole(item, pending) if pending else None
    if completed is None:
        return _replace(partial, NEXT, pending), error
    rest = {_CLOSED: True} if partial.get(_CLOSED) else EMPTY
    return {**rest, _ITEMS: [*partial.get(_ITEMS, ()), completed]}, None


def missing(slot: Slot, partial: Any) -> Slot | None:
    """What to ask for next: the slot itself or a part of it; None if it is complete."""
    if slot.item:
        return _next_missing_item(slot, slot.item, partial or EMPTY)
    if not slot.parts:
        return slot if partial is None else None
    if not partial and slot.kind.asked_as_whole:
        return slot
    for name, part in slot.parts.items():
        held = (partial or EMPTY).get(name)
        if (part.required or held is not None) and (wanted := missing(part, held)):
            return wanted
    return None


def _next_missing_item(slot: Slot, item: Slot, partial: Draft) -> Slot | None:
    if pending := partial.get(NEXT):
        return missing(item, pending)
    if partial.get(_CLOSED) or len(partial.get(_ITEMS, ())) >= slot.max_items:
        return None
    if _MORE in partial or not _has_min_items(slot, partial):
        return missing(item, None) if item.parts else slot
    return slot if slot.more else None


def _has_min_items(slot: Slot, partial: Draft) -> bool:
    return len(partial.get(_ITEMS, ())) >= max(slot.min_items, 1)


def whole(slot: Slot, partial: Any) -> object | None:
    """The complete value, not yet checked as a whole; None if something is missing."""
    return None if missing(slot, partial) else _build(slot, partial)


def _build(slot: Slot, partial: Any) -> object:
    if slot.item:
        return list(partial.get(_ITEMS, ()))
    if slot.parts:
        parts = [(name, part) for name, part in slot.parts.items() if name in partial]
        return slot.kind.join({name: _build(part, partial[name]) for name, part in parts})
    return partial


def another(partial: Draft) -> Draft:
    """A list to which the person wants to add one more item."""
    return {**partial, _MORE: True}


def closed(slot: Slot, partial: Draft) -> Draft:
    """A list whose items the person has all named.

    Raises:
        SlotRefused: there are too few.
    """
    items = partial.get(_ITEMS, [])
    if len(items) < slot.min_items:
        raise SlotRefused.of(slot, "too_few", slot.min_items)
    return {_ITEMS: items, _CLOSED: True}


def question(slot: Slot, partial: Draft, asked: str) -> Iterator[Template]:
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
            yield from question(part, partial.get(name, EMPTY), asked) if part.composed else (part.ask,)
