"""A slot and a type of slot.

A type checks and normalises values; every value that a conversation holds went through `Slot.check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.templates import Template, show_json
from clawdbot_dialogue.core.language.language_pack import Locale

LARGEST_INTEGER = 2**53
"""Beyond it a google.protobuf.Struct, which carries slots to callers, is not exact."""
LONGEST_TEXT = 10_000
"""Characters of a string slot that names no smaller max_length."""


MOST_ITEMS = 100
"""Items of a list that names no smaller max_items."""


class SlotRefused(ValueError):
    """A value that does not fit. `purpose` names the locale's wording, `limit` what goes into it."""

    def __init__(self, purpose: str, limit: object = "") -> None:
        self.purpose = purpose
        self.limit = limit
        self.slot: Slot | None = None
        """What it does not fit: a slot, or a part of one. Set by Slot.check."""
        self.position: int | None = None
        """Of the item in its list, from 0, where it is one."""
        super().__init__(f"{purpose} {limit}".strip())

    @classmethod
    def of(cls, slot: Slot, purpose: str, limit: object = "") -> SlotRefused:
        """A refusal by a slot, or a part of one."""
        refused = cls(purpose, limit)
        refused.slot = slot
        return refused


def root_of(path: str) -> str:
    """The slot that a path leads into: "address.city" → "address"; a slot's name leads to itself."""
    return path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Slot:
    """One declared slot."""

    name: str
    """For a part of another slot the path to it: "address.city"."""
    kind: SlotType
    spoken: str
    """The name as said: "party size"."""
    ask: Template
    asked_only: bool = False
    """Filled only while it is asked for, and asked anew whenever its state is entered: a confirmation."""
    minimum: Any = None
    """A number; a day or time as text; for a date also "today+30d", for a datetime "now+2h"."""
    maximum: Any = None
    min_length: int = 0
    max_length: int = LONGEST_TEXT
    pattern: Expression | None = None
    """Whether the value of the slot `value` matches."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For an enum: each value and how else it is said."""
    hints: tuple[str, ...] = ()
    """Words beside a number, or for a person's wish to change it, that point to this slot: people, guests."""
    currencies: tuple[str, ...] = ()
    """For a sum of money: the ISO 4217 codes that it may be in, the one first that is meant where none is
    said; empty for any that is said."""
    region: str = ""
    """For a phone: the country whose numbers need no country code, as in ISO 3166: "GB"."""
    parts: Mapping[str, Slot] = field(default_factory=dict)
    """What the value is put together from, by name: an object's fields; a datetime's date and time, and the
    half of the day, "am" or "pm", by which a time that is yet to come is read."""
    required: bool = True
    """For a part: whether there is no value without it. One that is not is never asked for."""
    item: Slot | None = None
    """For a list: what its items are. It has the list's own name where it has no parts, else `NAME.next`, the
    one that is being put together."""
    listed: bool = False
    """Whether it is the item of a list, so that a message may give several values."""
    more: Template | None = None
    """For a list: what the person is asked after each item; None where the first answer is the list."""
    min_items: int = 1
    max_items: int = MOST_ITEMS

    def within(self) -> Iterator[Slot]:
        """The slot itself, and all parts of it and of its items."""
        yield self
        if self.item and self.item.parts:
            yield from self.item.within()
        for part in self.parts.values():
            yield from part.within()

    def part(self, key: str) -> Slot | None:
        """A part by its name, or a list's item by its position; None for no such part."""
        return self.item if self.item and key.isdecimal() else self.parts.get(key)

    @property
    def composed(self) -> bool:
        """Whether its value may come together over several messages."""
        return bool(self.parts or self.item)

    @property
    def repeats(self) -> bool:
        """For a list: whether the same item twice means two: ages, sums, but not names or days."""
        return self.item is not None and self.item.kind.counts

    @property
    def type(self) -> str:
        """The name of its type."""
        return self.kind.name

    @property
    def names_person(self) -> bool:
        """Whether it asks for somebody's name, by the word "name" in its own: "my name is Ada" fills it."""
        return "name" in self.name.rpartition(".")[2].lower().split("_")

    def check(self, value: object, now: datetime | None) -> object:
        """The value as it is kept.

        Args:
            value: JSON-able.
            now: What "today" means in a bound; None leaves such bounds out.

        Raises:
            SlotRefused: it does not fit.
        """
        try:
            return self.kind.check(self, value, now)
        except SlotRefused as refused:
            refused.slot = refused.slot or self
            raise

    def takes(self, value: object, now: datetime | None) -> bool:
        """Whether a value fits, as `check` has it."""
        try:
            self.check(value, now)
        except SlotRefused:
            return False
        return True

    def show(self, value: object, locale: Locale) -> str:
        """A value that it holds, as a person reads it: "Tuesday, 1 December 2026"."""
        return self.kind.show(self, value, locale)

    def show_limit(self, limit: object, locale: Locale) -> str:
        """A bound of it, as SlotRefused has it, as a person reads it."""
        return self.kind.show_limit(limit, locale)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the min and max of a type are."""

    words: str
    """For an author: "a whole number"."""
    order: Callable[[Any], Any]
    """One in the form that compares with those of its type, what counts from now with no other; None for
    what is no bound."""


def _plainly(_: Slot, value: object, __: Locale) -> str:
    return show_json(value)


def _as_it_is(limit: object, _: Locale) -> str:
    return show_json(limit)


@dataclass(frozen=True, slots=True)
class SlotType:
    """One type of slot."""

    name: str
    cel: CelType | Callable[[SlotSource, Callable[[SlotSource], CelType]], CelType]
    """How expressions and texts see it: a type, or what tells it from how the slot is declared."""
    check: Callable[[Slot, Any, datetime | None], object]
    """As Slot.check."""
    bounds: Bounds | None = None
    options: frozenset[str] = frozenset()
    """The options that make sense for it, besides min and max, ask, fill, hints and type."""
    show: Callable[[Slot, Any, Locale], str] = _plainly
    show_limit: Callable[[Any, Locale], str] = _as_it_is
    counts: bool = False
    """Whether one value said twice means two of them."""
    together: bool = False
    """For one whose values have parts: whether they are asked for with one question first."""
    join: Callable[[Mapping[str, Any]], object] = dict
    """For one whose values have parts: the value that parts make."""
    split: Callable[[Any], Mapping[str, object]] = dict
    """The other way round."""
