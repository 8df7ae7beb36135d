"""Values that come together over several messages: what is known, what is asked for next, when one is whole.

A draft is what is known of a value that has parts; nothing in it is empty. For a slot with parts it maps
their names to values, or to drafts where a part has parts itself. For a list it holds `items`, those that are
whole; `next`, the draft of one more, once something of that is known; `more`, true where the person wants to
name one more; and `closed`, true once they have named all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused
from clawdbot_dialogue.core.flow.templates import Template

Draft: TypeAlias = Mapping[str, Any]
"""JSON-able."""
Outcome: TypeAlias = tuple[Draft, SlotRefused | None]
"""A draft, and the first thing that did not fit and is not in it."""
EMPTY: Draft = {}
NEXT = "next"
"""The key, and the part of a path, of a list's item that is being put together."""
_ITEMS, _MORE, _CLOSED = "items", "more", "closed"


def drafted(slot: Slot, value: Any) -> Any:
    """A whole value, as a draft that lacks nothing: parts of it can then be changed."""
    if slot.item:
        return {_ITEMS: value, _CLOSED: True}
    if slot.parts:
        parts = slot.kind.split(value)
        return {name: drafted(part, parts[name]) for name, part in slot.parts.items() if name in parts}
    return value


def is_draft(slot: Slot, draft: object) -> bool:
    """Whether something that was stored is a draft of a slot; bounds that depend on the day are left out."""
    if slot.item:
        known = isinstance(draft, Mapping) and draft.keys() <= {_ITEMS, NEXT, _MORE, _CLOSED}
        if not known or not isinstance(draft, Mapping) or not isinstance(draft.get(_ITEMS, []), list):
            return False
        items = all(slot.item.takes(each, None) for each in draft.get(_ITEMS, ()))
        return items and (NEXT not in draft or is_draft(slot.item, draft[NEXT]))
    if not slot.parts:
        return slot.takes(draft, None)
    if not isinstance(draft, Mapping) or not draft.keys() <= slot.parts.keys():
        return False
    return all(is_draft(slot.parts[name], each) for name, each in draft.items())


def known(slot: Slot, draft: Draft) -> Iterator[tuple[str, object]]:
    """The path and value of each part of a draft that is known and that a message can change."""
    if slot.item:
        if draft.get(_ITEMS):
            yield slot.name, draft[_ITEMS]
        yield from known(slot.item, draft.get(NEXT, EMPTY))
        return
    for name, part in slot.parts.items():
        if name in draft:
            yield from known(part, draft[name]) if part.composed else ((part.name, draft[name]),)


def put(slot: Slot, draft: Draft, path: Sequence[str], value: object, now: datetime | None) -> Outcome:
    """A draft with something filled in, or taken out.

    Args:
        slot: What it is a draft of.
        draft: What is known.
        path: The names of the parts that lead to what is filled, NEXT for an item; none for the slot itself.
        value: JSON-able, of an object also some of its fields; None takes out.
        now: As for Slot.check.
    """
    if not path:
        return (EMPTY, None) if value is None else _merged(slot, draft, value, now)
    if slot.item:
        begun, refused = put(slot.item, draft.get(NEXT, EMPTY), path[1:], value, now)
        settled, misfit = _settled(slot.item, _with(draft, NEXT, begun), now)
        return settled, refused or misfit
    name, *inner = path
    part = slot.parts[name]
    if part.parts:
        begun, refused = put(part, draft.get(name, EMPTY), inner, value, now)
        fitting, misfit = _fitting(part, begun, now)
        return _with(draft, name, fitting), refused or misfit
    try:
        return _with(draft, name, None if value is None else part.check(value, now)), None
    except SlotRefused as refused:
        return draft, refused


def _with(draft: Draft, name: str, value: object) -> Draft:
    rest = {each: old for each, old in draft.items() if each != name}
    return rest if value is None or value == EMPTY else {**rest, name: value}


def _merged(slot: Slot, draft: Draft, value: object, now: datetime | None) -> Outcome:
    """A draft with what is said of the slot as a whole."""
    try:
        if slot.item:
            items = [slot.item.check(each, now) for each in (value if isinstance(value, list) else [value])]
            if len(items) > slot.max_items:
                raise SlotRefused.of(slot, "too_many", slot.max_items)
            return _with({_CLOSED: True} if draft.get(_CLOSED) else EMPTY, _ITEMS, items or None), None
        if not isinstance(value, Mapping) or value.keys() - slot.parts.keys():
            return drafted(slot, slot.check(value, now)), None
    except SlotRefused as refused:
        return draft, refused
    first: SlotRefused | None = None
    for name, each in value.items():
        draft, refused_part = put(slot, draft, (name,), each, now)
        first = first or refused_part
    return draft, first


def _fitting(slot: Slot, draft: Draft, now: datetime | None) -> Outcome:
    """The draft, unless it is whole and does not fit: then there is nothing of it."""
    value = whole(slot, draft) if draft else None
    try:
        if value is not None:
            slot.check(value, now)
    except SlotRefused as refused:
        return EMPTY, refused
    return draft, None


def _settled(item: Slot, draft: Draft, now: datetime | None) -> Outcome:
    """A list whose next item has joined the others, if that is whole."""
    begun, misfit = _fitting(item, draft.get(NEXT, EMPTY), now)
    made = whole(item, begun) if begun else None
    if made is None:
        return _with(draft, NEXT, begun), misfit
    rest = {_CLOSED: True} if draft.get(_CLOSED) else EMPTY
    return {**rest, _ITEMS: [*draft.get(_ITEMS, ()), made]}, None


def missing(slot: Slot, draft: Any) -> Slot | None:
    """What is asked for next: the slot itself or a part of it; None where nothing is missing."""
    if slot.item:
        return _missing_item(slot, slot.item, draft or EMPTY)
    if not slot.parts:
        return slot if draft is None else None
    if not draft and slot.kind.together:
        return slot
    for name, part in slot.parts.items():
        held = (draft or EMPTY).get(name)
        if (part.required or held is not None) and (wanted := missing(part, held)):
            return wanted
    return None


def _missing_item(slot: Slot, item: Slot, draft: Draft) -> Slot | None:
    if begun := draft.get(NEXT):
        return missing(item, begun)
    if draft.get(_CLOSED) or len(draft.get(_ITEMS, ())) >= slot.max_items:
        return None
    if _MORE in draft or not _has_enough(slot, draft):
        return missing(item, None) if item.parts else slot
    return slot if slot.more else None


def _has_enough(slot: Slot, draft: Draft) -> bool:
    return len(draft.get(_ITEMS, ())) >= max(slot.min_items, 1)


def whole(slot: Slot, draft: Any) -> object | None:
    """The value that a draft makes, not yet checked as a whole; None where something is missing."""
    return None if missing(slot, draft) else _built(slot, draft)


def _built(slot: Slot, draft: Any) -> object:
    if slot.item:
        return list(draft.get(_ITEMS, ()))
    if slot.parts:
        parts = [(name, part) for name, part in slot.parts.items() if name in draft]
        return slot.kind.join({name: _built(part, draft[name]) for name, part in parts})
    return draft


def another(draft: Draft) -> Draft:
    """A list of which the person wants to name one more item."""
    return {**draft, _MORE: True}


def closed(slot: Slot, draft: Draft) -> Draft:
    """A list of which the person has named all.

    Raises:
        SlotRefused: these are too few.
    """
    items = draft.get(_ITEMS, [])
    if len(items) < slot.min_items:
        raise SlotRefused.of(slot, "too_few", slot.min_items)
    return {_ITEMS: items, _CLOSED: True}


def question(slot: Slot, draft: Draft, asked: str) -> Iterator[Template]:
    """The words that ask for a part of a slot: before the first part of an object or item, that itself.

    Args:
        slot: The slot.
        draft: What is known of it.
        asked: The name of what is asked for, itself or a part.
    """
    if slot.item:
        if slot.more and asked == slot.name and _MORE not in draft and _has_enough(slot, draft):
            yield slot.more
            return
        if asked in (slot.name, slot.item.name) or not draft:
            yield slot.ask
        slot, draft = slot.item, draft.get(NEXT, EMPTY)
    elif asked == slot.name or not draft:
        yield slot.ask
    for name, part in slot.parts.items():
        if asked == part.name or asked.startswith(f"{part.name}."):
            yield from question(part, draft.get(name, EMPTY), asked) if part.composed else (part.ask,)
