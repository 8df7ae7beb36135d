"""A slot and a type of slot.

A type checks and normalises values; every value that a conversation holds went through `Slot.check`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.cel_types import CelType
from clawdbot_dialogue.core.flow.expressions import Expression
from clawdbot_dialogue.core.flow.source import SlotSource
from clawdbot_dialogue.core.flow.templates import Template, show_json
from clawdbot_dialogue.core.understanding.locale import Locale

LARGEST_INTEGER = 2**53
"""Beyond it a google.protobuf.Struct, which carries slots to callers, is not exact."""
LONGEST_TEXT = 10_000
"""Characters of a string slot that names no smaller max_length."""


class SlotRefused(ValueError):
    """A value that does not fit. `purpose` names the locale's wording, `limit` what goes into it."""

    def __init__(self, purpose: str, limit: object = "") -> None:
        self.purpose = purpose
        self.limit = limit
        super().__init__(f"{purpose} {limit}".strip())


@dataclass(frozen=True, slots=True)
class Slot:
    """One declared slot."""

    name: str
    kind: SlotType
    spoken: str
    """The name as said: "party size"."""
    ask: Template
    asked_only: bool = False
    """Filled only while it is asked for, and asked anew whenever its state is entered: a confirmation."""
    minimum: object = None
    """A number; a day or time as text; for a date also "today", "today+30d"."""
    maximum: object = None
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

    @property
    def type(self) -> str:
        """The name of its type."""
        return self.kind.name

    @property
    def names_person(self) -> bool:
        """Whether it asks for somebody's name, by the word "name" in its own: "my name is Ada" fills it."""
        return "name" in self.name.lower().split("_")

    def check(self, value: object, now: datetime | None) -> object:
        """The value as it is kept.

        Args:
            value: JSON-able.
            now: What "today" means in a bound; None leaves such bounds out.

        Raises:
            SlotRefused: it does not fit.
        """
        return self.kind.check(self, value, now)

    def show(self, value: object, locale: Locale) -> str:
        """A value that it holds, as a person reads it: "Tuesday, 1 December 2026"."""
        return self.kind.show(value, locale)

    def show_limit(self, limit: object, locale: Locale) -> str:
        """A bound of it, as SlotRefused has it, as a person reads it."""
        return self.kind.show_limit(limit, locale)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the min and max of a type are."""

    words: str
    """For an author: "a whole number"."""
    fits: Callable[[object], bool]
    """Whether something is one."""
    order: Callable[[Any], Any]
    """One in the form that compares; None where that depends on the day."""


def _plainly(value: object, _: Locale) -> str:
    return show_json(value)


@dataclass(frozen=True, slots=True)
class SlotType:
    """One type of slot."""

    name: str
    cel: CelType | Callable[[SlotSource], CelType]
    """How expressions and texts see it: a type, or what tells it from how the slot is declared."""
    check: Callable[[Slot, Any, datetime | None], object]
    """As Slot.check."""
    bounds: Bounds | None = None
    options: frozenset[str] = frozenset()
    """The options that make sense for it, besides min and max, ask, fill, hints and type."""
    show: Callable[[Any, Locale], str] = _plainly
    show_limit: Callable[[Any, Locale], str] = _plainly

    def seen(self, source: SlotSource) -> CelType:
        """How expressions and texts see a slot that is declared so."""
        return self.cel(source) if callable(self.cel) else self.cel
