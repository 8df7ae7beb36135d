"""Values that come together over several messages: what is known, what is asked for next, when one is whole.

A draft is what is known of a value that has parts. For a slot with parts it maps their names to values, or to
drafts where a part has parts itself. For a list it holds `items`, those that are whole; `next`, the draft of
one more, once that is under way; and `closed` once the person has named all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused
from clawdbot_dialogue.core.flow.templates import Template

Draft: TypeAlias = Mapping[str, Any]
"""JSON-able."""
EMPTY: Draft = {}
NEXT = "next"
"""The key, and the part of a path, of a list's item that is being put together."""


def drafted(slot: Slot, value: Any) -> Any:
    """A whole value, as a draft that lacks nothing: parts of it can then be changed."""
    if slot.item:
        return {"items": value, "closed": True}
    if slot.parts:
        parts = slot.kind.split(value)
        return {name: drafted(part, parts[name]) for name, part in slot.parts.items() if name in parts}
    return value


def known(slot: Slot, draft: Draft) -> Iterator[tuple[str, object]]:
    """The path and value of each part of a draft that is known and that a message can change."""
    if slot.item:
        if draft.get("items"):
            yield slot.name, draft["items"]
        yield from known(slot.item, draft.get(NEXT) or EMPTY)
        return
    for name, part in slot.parts.items():
        if name in draft:
            yield from known(part, draft[name]) if part.composed else ((part.name, draft[name]),)


def put(slot: Slot, draft: Draft, path: Sequence[str], value: object, now: datetime | None) -> Draft:
    """A draft with something filled in, or taken out.

    Args:
        slot: What it is a draft of.
        draft: What is known.
        path: The names of the parts that lead to what is filled, NEXT for an item; none for the slot itself.
        value: JSON-able, of an object also some of its fields; None takes out.
        now: As for Slot.check.

    Raises:
        SlotRefused: it does not fit.
    """
    if not path:
        return EMPTY if value is None else _merged(slot, draft, value, now)
    if slot.item:
        begun = put(slot.item, draft.get(NEXT) or EMPTY, path[1:], value, now)
        return _settled(slot, {**draft, NEXT: begun})
    part = slot.parts[path[0]]
    rest = {name: each for name, each in draft.items() if name != path[0]}
    if part.composed:
        return {**rest, path[0]: put(part, draft.get(path[0]) or EMPTY, path[1:], value, now)}
    return rest if value is None else {**rest, path[0]: part.check(value, now)}


def _merged(slot: Slot, draft: Draft, value: object, now: datetime | None) -> Draft:
    if slot.item:
        if not isinstance(value, list):
            value = [value]
        items = [slot.item.check(each, now) for each in value]
        if len(items) > slot.max_items:
            raise SlotRefused.of(slot, "too_many", slot.max_items)
        return {**draft, "items": items}
    if not isinstance(value, Mapping):
        whole: Draft = drafted(slot, slot.check(value, now))
        return whole
    for name, each in value.items():
        if name not in slot.parts:
            raise SlotRefused.of(slot, "not_object", ", ".join(slot.parts))
        draft = put(slot, draft, (name,), each, now)
    return draft


def _settled(slot: Slot, draft: Draft) -> Draft:
    """A list whose next item has joined the others, if that is whole."""
    item = whole(slot.item, draft[NEXT]) if slot.item else None
    if item is None:
        return draft
    return {"items": [*draft.get("items", ()), item]}


def missing(slot: Slot, draft: Any) -> Slot | None:
    """What is asked for next: the slot itself or a part of it; None where nothing is missing."""
    if slot.item:
        return _missing_item(slot, slot.item, draft or EMPTY)
    if not slot.parts:
        return slot if draft is None else None
    if not draft and slot.kind.together:
        return slot
    wanted = (
        missing(part, (draft or EMPTY).get(name))
        for name, part in slot.parts.items()
        if part.required or name in draft
    )
    return next((each for each in wanted if each), None)


def _missing_item(slot: Slot, item: Slot, draft: Draft) -> Slot | None:
    count = len(draft.get("items", ()))
    if draft.get("closed") or count >= slot.max_items:
        return None
    if NEXT not in draft and count >= max(slot.min_items, 1):
        return slot if slot.more else None
    return missing(item, draft.get(NEXT) or EMPTY) if item.parts else slot


def whole(slot: Slot, draft: Any) -> object | None:
    """The value that a draft makes, not yet checked as a whole; None where something is missing."""
    return None if missing(slot, draft) else _built(slot, draft)


def _built(slot: Slot, draft: Any) -> object:
    if slot.item:
        return list(draft.get("items", ()))
    if slot.parts:
        return slot.kind.join(
            {name: _built(slot.parts[name], draft[name]) for name in slot.parts if name in draft}
        )
    return draft


def another(draft: Draft) -> Draft:
    """A list of which the person wants to name one more item."""
    return {**draft, NEXT: {}}


def closed(slot: Slot, draft: Draft) -> Draft:
    """A list of which the person has named all.

    Raises:
        SlotRefused: these are too few.
    """
    items = draft.get("items", [])
    if len(items) < slot.min_items:
        raise SlotRefused.of(slot, "too_few", slot.min_items)
    return {"items": items, "closed": True}


def question(slot: Slot, draft: Draft, asked: str) -> Iterator[Template]:
    """The words that ask for a part of a slot: before the first part of an object or item, that itself.

    Args:
        slot: The slot.
        draft: What is known of it.
        asked: The name of what is asked for, itself or a part.
    """
    if slot.item:
        counted = len(draft.get("items", ())) >= max(slot.min_items, 1)
        if slot.more and counted and NEXT not in draft:
            yield slot.more
        elif asked == slot.name or not draft:
            yield slot.ask
        slot, draft = slot.item, draft.get(NEXT) or EMPTY
        if asked == slot.name:
            return
    elif asked == slot.name or not draft:
        yield slot.ask
    for name, part in slot.parts.items():
        if asked == part.name or asked.startswith(f"{part.name}."):
            yield from question(part, draft.get(name) or EMPTY, asked) if part.composed else (part.ask,)
