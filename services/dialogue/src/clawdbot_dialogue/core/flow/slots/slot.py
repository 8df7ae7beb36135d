"""A slot and a type of slot.

A type checks and normalises values; every value that a session holds has passed `Slot.check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.patterns import Pattern
from clawdbot_dialogue.core.flow.templates import Template, format_json
from clawdbot_dialogue.core.language.language_pack import LanguagePack

MAX_INTEGER = 2**53
"""Larger integers are not exact in a google.protobuf.Struct, which carries slots to callers."""
MAX_TEXT_LENGTH = 10_000
"""Characters of a string slot that sets no smaller max_length."""


MAX_ITEMS = 100
"""Items of a list slot that sets no smaller max_items."""


class SlotValueError(ValueError):
    """A value that a slot does not accept. `reason` names the message for the person, `limit` fills it."""

    def __init__(self, reason: str, limit: object = "") -> None:
        self.reason = reason
        self.limit = limit
        self.slot: Slot | None = None
        """The slot, or part of one, that does not accept the value. Set by Slot.check."""
        self.position: int | None = None
        """The index in its list, from 0, if the value is a list item."""
        super().__init__(f"{reason} {limit}".strip())

    @classmethod
    def for_slot(cls, slot: Slot, reason: str, limit: object = "") -> SlotValueError:
        """The error for a known slot, or part of one."""
        error = cls(reason, limit)
        error.slot = slot
        return error


def root_slot(path: str) -> str:
    """The slot that a path leads into: "address.city" → "address"; a slot's name is its own root."""
    return path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Slot:
    """One declared slot."""

    name: str
    """For a part of another slot, the path to it: "address.city"."""
    kind: SlotType
    display_name: str
    """The name as shown to the person: "party size"."""
    ask: Template
    asked_only: bool = False
    """Filled only by the answer to its own question, and cleared whenever its state is entered: a
    confirmation."""
    minimum: Any = None
    """A number; a day or time as text; for a date also "today+30d", for a datetime "now+2h"."""
    maximum: Any = None
    min_length: int = 0
    max_length: int = MAX_TEXT_LENGTH
    pattern: Pattern | None = None
    """True if the slot `value` matches."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For an enum: each value and its synonyms."""
    hints: tuple[str, ...] = ()
    """Words that point to this slot, beside a number or in a request to change it: people, guests."""
    currencies: tuple[str, ...] = ()
    """For money: the ISO 4217 codes that it accepts, the first one being the default; empty to accept any
    that the person names."""
    region: str = ""
    """For a phone: the ISO 3166 country whose numbers need no country code: "GB"."""
    parts: Mapping[str, Slot] = field(default_factory=dict)
    """The parts of the value, by name: an object's fields; a datetime's date and time, and `half`, the half
    of the day ("am" or "pm") with which a time given later is read."""
    required: bool = True
    """For a part: whether the value is incomplete without it. An optional part is never asked for."""
    item: Slot | None = None
    """For a list: its item. An item without parts has the list's own name; one with parts is called
    `NAME.next`, the item that is being put together."""
    is_list_item: bool = False
    """Whether it is the item of a list, so that one message may give several values."""
    more: Template | None = None
    """For a list: the question after each item; None if the first answer is the whole list."""
    min_items: int = 1
    max_items: int = MAX_ITEMS

    def walk(self) -> Iterator[Slot]:
        """The slot itself, and all parts of it and of its items."""
        yield self
        if self.item and self.item.parts:
            yield from self.item.walk()
        for part in self.parts.values():
            yield from part.walk()

    def part(self, key: str) -> Slot | None:
        """A part by its name, or a list's item by its position; None if there is no such part."""
        return self.item if self.item and key.isdecimal() else self.parts.get(key)

    @property
    def is_composite(self) -> bool:
        """Whether it has parts or items, so that its value may take several messages."""
        return bool(self.parts or self.item)

    @property
    def allows_duplicates(self) -> bool:
        """For a list: whether it keeps equal items: ages and sums, but not names or days."""
        return self.item is not None and self.item.kind.allows_duplicates

    @property
    def type(self) -> str:
        """The name of its type."""
        return self.kind.name

    @property
    def is_person_name(self) -> bool:
        """Whether its own name contains the word "name": then it is filled by "my name is Ada"."""
        return "name" in self.name.rpartition(".")[2].lower().split("_")

    def check(self, value: object, now: datetime | None) -> object:
        """The normalised value.

        Args:
            value: JSON-able.
            now: The time that "today" in a bound refers to; None skips such bounds.

        Raises:
            SlotValueError: the slot does not accept the value.
        """
        try:
            return self.kind.check(self, value, now)
        except SlotValueError as error:
            error.slot = error.slot or self
            raise

    def accepts(self, value: object, now: datetime | None) -> bool:
        """Whether `check` accepts a value."""
        try:
            self.check(value, now)
        except SlotValueError:
            return False
        return True

    def format(self, value: object, locale: LanguagePack) -> str:
        """A value of this slot for a person: "Tuesday, 1 December 2026"."""
        return self.kind.format(self, value, locale)

    def format_limit(self, limit: object, locale: LanguagePack) -> str:
        """The limit of a SlotValueError for a person."""
        return self.kind.format_limit(limit, locale)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the min and max of a type may be."""

    description: str
    """For an author: "a whole number"."""
    sort_key: Callable[[Any], Any]
    """A bound in a form that compares with others of its type; a bound relative to now compares only with
    other relative ones. None for an invalid bound."""


def _format_json(_: Slot, value: object, __: LanguagePack) -> str:
    return format_json(value)


def _format_json_limit(limit: object, _: LanguagePack) -> str:
    return format_json(limit)


@dataclass(frozen=True, slots=True)
class SlotType:
    """One type of slot."""

    name: str
    cel: CelType | Callable[[SlotSource, Callable[[SlotSource], CelType]], CelType]
    """Its type in expressions and texts, or a function that derives it from the slot's declaration."""
    check: Callable[[Slot, Any, datetime | None], object]
    """The implementation of Slot.check."""
    bounds: Bounds | None = None
    options: frozenset[str] = frozenset()
    """The options that it supports, apart from min and max, ask, fill, hints and type."""
    format: Callable[[Slot, Any, LanguagePack], str] = _format_json
    format_limit: Callable[[Any, LanguagePack], str] = _format_json_limit
    allows_duplicates: bool = False
    """Whether a value given twice in a list stands for two items."""
    asked_as_whole: bool = False
    """For a type with parts: whether one question asks for all of them first."""
    join: Callable[[Mapping[str, Any]], object] = dict
    """For a type with parts: the value made of its parts."""
    split: Callable[[Any], Mapping[str, object]] = dict
    """The inverse of join."""
