"""Extracts slot values from a message, and decides which value belongs to which slot.

Goes from the unambiguous to the ambiguous: addresses, phone numbers, dates and times are found first and
blanked out, so that the numbers that remain are just numbers. An ambiguous value, such as a bare number, goes
to the slot that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.datetimes import latest_date
from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_slot
from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS, normalize
from clawdbot_dialogue.core.language.span import Span
from clawdbot_dialogue.core.understanding import relative_updates
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets

# Chinese text has no spaces around an address, so its characters cannot be part of one.
_CJK = "\u2e80-\u9fff\uff00-\uffef"
_PART = rf"[^\s@<>()\[\],;:\"{_CJK}]"
_EMAIL = re.compile(rf"{_PART}{{1,64}}@{_PART}{{1,190}}\.[^\s@<>()\[\],;:\".!?{_CJK}]{{2,24}}")
_PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d ()./-]{4,24}\d(?!\w)", re.ASCII)

_ISO_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)t(?=\d)", re.ASCII)

_DIGITS = re.compile(r"\d+")

_T = TypeVar("_T")


@dataclass(slots=True)
class ExtractedValues:
    """The values found in one message."""

    by_slot: dict[str, object] = field(default_factory=dict)
    """Slot → its JSON-serializable value, not yet checked."""
    alternatives: dict[str, tuple[object, object]] = field(default_factory=dict)
    """Slot → two values between which the message does not decide: "4 or 5"."""

    def list_values(self, slot: Slot) -> Sequence[object]:
        """The values found for a list so far."""
        values = self.by_slot.get(slot.name)
        return values if isinstance(values, list) else ()

    def join_parts(self, slot: Slot) -> None:
        """Replaces the parts of a slot by one value, if all required parts were found."""
        parts = {name: self.by_slot.get(part.name) for name, part in slot.parts.items() if part.required}
        if None not in parts.values():
            for part in slot.parts.values():
                self.by_slot.pop(part.name, None)
            self.by_slot[slot.name] = slot.kind.join(parts)


def extract_slots(
    flow: Flow,
    targets: ExtractionTargets,
    known: Mapping[str, object],
    *,
    raw: str,
    normalized: str,
    now: datetime,
) -> ExtractedValues:
    """The slot values in a message.

    Args:
        flow: Declares the slots.
        targets: The slots that may be filled or corrected.
        known: The known values.
        raw: The message as written.
        normalized: The normalized message.
        now: The person's time, which decides what "tomorrow" means.
    """
    extractor = _Extractor(flow, targets, known, now)
    extractor.extract(raw[:MAX_READ_CHARS], normalized)
    for each in targets.datetimes:
        extractor.values.join_parts(each)
    return extractor.values


class _Extractor:
    """The extraction of one message; each step blanks out what it understood."""

    def __init__(
        self, flow: Flow, targets: ExtractionTargets, known: Mapping[str, object], now: datetime
    ) -> None:
        self.values = ExtractedValues()
        self._flow = flow
        self._vocabulary = flow.vocabulary.slots
        self._language = flow.locale
        self._targets = targets
        self._asked = targets.asked
        self._by_type = targets.by_type
        self._numeric = targets.numeric
        self._known = known
        self._now = now

    def extract(self, raw: str, text: str) -> None:
        for slot in self._by_type.get("enum", ()):
            if values := self._vocabulary[slot.name].find_values(text):
                self._assign(slot, values, text)
        for slot in self._by_type.get("string", ()):
            if name := self._language.stated_name(raw):
                self._set(slot, [name])
                # The name may contain a date: somebody may be called Sunday.
                text = re.sub(rf"(?<![a-z]){re.escape(normalize(name))}(?![a-z])", " ", text, count=1)
        if "@" in text:
            found = [Span(*each.span(), each[0]) for each in _EMAIL.finditer(raw)]
            self._distribute("email", found, raw)
            text = _EMAIL.sub(" ", text)
        if "phone" in self._by_type:
            text = self._phones(text)
        if self._targets.needs_numerals:
            self._extract_numeric(self._language.normalize_numerals(text))

    def _phones(self, text: str) -> str:
        for slot in self._by_type["phone"]:
            for match in _PHONE.finditer(text):
                # If a number was asked for, even an invalid one counts; otherwise it must be valid.
                if slot.name == self._asked or slot.accepts(match[0], self._now):
                    self._set(slot, [*self.values.list_values(slot), match[0]])
                    text = _blank(text, match.start(), match.end())
                    if not slot.is_list_item:
                        break
        return text

    def _extract_numeric(self, text: str) -> None:
        text = _ISO_DATETIME.sub(r"\1 ", text) if self._targets.datetimes else text
        text = self._relative_updates(text) if self._known else text
        text = self._money(text) if "money" in self._by_type else text
        dates = self._language.dates(text, self._now.date(), self._prefers_past())
        if dates:
            written = [Span(each.start, each.end, each.value.isoformat()) for each in dates]
            self._distribute("date", written, text)
        # Words that name a part of the day stay: "tonight" is a date, and makes 8 mean 20:00.
        rest = text
        for each in dates:
            if any(map(str.isdigit, text[each.start : each.end])):
                rest = _blank(rest, each.start, each.end)
        if self._targets.datetimes:
            rest = self._from_now(rest)
        if "duration" in self._by_type:
            found = self._language.durations(rest)
            if "time" in self._by_type and self._targets.asked_type != "duration":
                # 19h30 may be a time or a duration.
                found = [each for each in found if not self._times(rest[each.start : each.end], asked=False)]
            durations = [Span(each.start, each.end, round(each.value)) for each in found]
            self._distribute("duration", durations, text)
            rest = _blank_all(rest, durations)
        bare = self._allows_bare_time(rest)
        times = self._times(_blank_all(rest, self._counted_numbers(rest)) if bare else rest, asked=bare)
        if self._targets.datetimes and dates and not times:
            self._note_am_or_pm(text)
        if times:
            read = [Span(each.start, each.end, self._best_reading(each.value)) for each in times]
            self._distribute("time", read, text)
            rest = _blank_all(rest, times)
        if self._numeric:
            self._numbers(rest)

    def _relative_updates(self, text: str) -> str:
        updates = [*relative_updates.updated_slots(self._flow, self._targets, self._known, text)]
        for slot, found in updates:
            self._set(slot, [found.value])
        return _blank_all(text, [found for _, found in updates])

    def _times(self, text: str, *, asked: bool) -> list[Span[tuple[str, ...]]]:
        counting = any(slot.name == self._asked for slot in self._numeric)
        found = self._language.times(text, asked, counting)
        if asked and found and not self._not_negated(self._by_type["time"][0], found, text):
            # In "not at 7, 8" the replacement needs no "at" either.
            found = [*found, *self._language.times(_blank_all(text, found), True, counting)]
        return found

    def _note_am_or_pm(self, text: str) -> None:
        """Sets the half of the day for a datetime that has only a date so far: "tomorrow evening"."""
        half = self._language.am_or_pm(text)
        for each in self._targets.datetimes if half else ():
            if each.parts["date"].name in self.values.by_slot:
                self.values.by_slot[each.parts["half"].name] = half

    def _prefers_past(self) -> bool:
        """Whether the slot for a date accepts no date after today: a birthday, the date of an expense."""
        latest = latest_date(self._targets.primary_date, self._now) if self._targets.primary_date else None
        return latest is not None and latest <= self._now.date()

    def _allows_bare_time(self, text: str) -> bool:
        """Whether a bare number that counts nothing may be a time of day.

        True if a time was asked for, or if one is being corrected and no numeric slot has a value.
        """
        if self._targets.asked_type in ("time", "datetime"):
            return True
        times = any(slot.name in self._known for slot in self._by_type.get("time", ()))
        others = any(slot.name in self._known for slot in self._numeric if not slot.is_list_item)
        return times and not others and self._language.is_correction(text) and not self._counted_numbers(text)

    def _from_now(self, text: str) -> str:
        """Sets the first datetime to the one that the text counts from now: "in two hours"."""
        offsets = self._language.offsets_from_now(text)
        for each in offsets[:1]:
            when = self._now + timedelta(seconds=each.value)
            name = self._targets.datetimes[0].name
            self.values.by_slot[f"{name}.date"] = when.date().isoformat()
            self.values.by_slot[f"{name}.time"] = when.time().isoformat("minutes")
        return _blank_all(text, offsets)

    def _money(self, text: str) -> str:
        """Distributes sums of money. A bare number is one only if a sum was asked for."""
        found = self._language.money(text)
        if self._targets.asked_type != "money" or any(each.value[1] for each in found):
            found = [each for each in found if each.value[1]]
        # The 20 in "200k over 20 years" is not a sum if another slot counts years.
        found = [each for each in found if each.value[1] or not self._counted(text[each.end :])]
        self._distribute("money", found, text)
        return _blank_all(text, found)

    def _counted_numbers(self, text: str) -> list[Span[int | float]]:
        return [each for each in self._language.numbers(text) if self._counted(text[each.end :])]

    def _counted(self, after: str) -> bool:
        """Whether the text after a number names the unit of a numeric slot: "6 people" is not a time."""
        return any(self._vocabulary[slot.name].counts(after) for slot in self._numeric)

    def _best_reading(self, readings: Sequence[str]) -> str:
        """The first reading that the time slot accepts: "at 7" is 19:00 if its minimum is 11:00."""
        for slot in self._by_type.get("time", ())[:1]:
            likely = [each for each in readings if self._is_valid_time(slot, each)] or readings
            if half := self._known.get(f"{slot.name.rpartition('.')[0]}.half"):
                likely = [each for each in likely if (each >= "12:00") == (half == "pm")] or likely
            known = self._known.get(slot.name)
            # A correction of 19:00 to "eight" means 20:00.
            if isinstance(known, str):
                return min(likely, key=lambda each: _minutes_between(each, known))
            return likely[0]
        return readings[0]

    def _is_valid_time(self, slot: Slot, clock: str) -> bool:
        """Whether a time is valid for its slot; for a datetime, together with the date."""
        for each in self._targets.datetimes:
            if each.parts["time"] is slot:
                name = each.parts["date"].name
                day = self.values.by_slot.get(name, self._known.get(name))
                return not day or each.accepts(f"{day}T{clock}", self._now)
        return slot.accepts(clock, self._now)

    def _numbers(self, text: str) -> None:
        text = self._group_sizes(self._targets.people_slot, text) if self._targets.people_slot else text
        left = self._language.numbers(text)
        if not left:
            return
        for slot in self._numeric:
            counted = [each for each in left if self._vocabulary[slot.name].counts(text[each.end :])]
            # In "4 or 5 people" both numbers count people.
            for one, other in pairwise(left):
                if other in counted and one not in counted and self._are_alternatives(one, other, text):
                    counted.insert(counted.index(other), one)
            self._assign(slot, counted, text)
            left = [each for each in left if each not in counted]
        open_slots = [slot for slot in self._numeric if slot.name not in self.values.by_slot]
        if not left or not open_slots:
            return
        first = open_slots[0]
        if first.name == self._asked:
            self._assign(first, left, text)
        elif len(self._numeric) == 1 and not self._answers_another_question(first, text):
            is_bare = self._language.is_bare_number
            alone = [each for each in left if is_bare(text[: each.start], text[each.end :])]
            self._assign(first, alone, text)

    def _answers_another_question(self, slot: Slot, text: str) -> bool:
        """Whether a bare number answers another question than the one for a slot that already has a value."""
        if self._targets.asked_type in ("", "boolean") or slot.name not in self._known:
            return False
        return self._asked in self._known or not self._language.is_correction(text)

    def _group_sizes(self, slot: Slot, text: str) -> str:
        """Assigns the total of people that the text counts up."""
        found = [*self._language.group_sizes(text)]
        if slot.name in self._known and slot.name != self._asked:
            # "My wife and I have allergies" does not change the number.
            found = [each for each in found if any(map(str.isdigit, text[each.start : each.end]))]
        if found:
            self._assign(slot, found[:1], text)
            text = _blank_all(text, found)
        return text

    def _distribute(self, kind: str, found: list[Span[_T]], text: str) -> None:
        """Distributes values among the slots of their type: a single one gets all, named ones the nearest."""
        slots = self._by_type.get(kind, [])
        if len(slots) == 1 or (slots and slots[0].is_list_item):
            self._assign(slots[0], found, text)
            return
        left = self._not_negated(slots[0], found, text) if slots else []
        named = self._named_slots(slots, text)
        # "Return on sunday" or "sunday for the return": the first pair decides on which side values stand.
        before = bool(named and found and next(iter(named.values())) < found[0].start)
        for name, at in named.items():
            on_that_side = [each for each in left if (each.start > at) == before] or left
            for nearest in sorted(on_that_side, key=lambda each: abs(each.start - at))[:1]:
                left.remove(nearest)
                self._set(self._flow.askable[name], [nearest.value])
        rest = [each for each in slots if each.name not in named]
        unknown = [each for each in rest if each.name == self._asked or each.name not in self._known]
        if unknown and (len(unknown) == 1 or self._is_one_value(left, text)):
            self._assign(unknown[0], left, text)
            return
        for slot, value in zip(unknown or rest, left, strict=False):
            self._set(slot, [value.value])

    def _is_one_value(self, found: list[Span[_T]], text: str) -> bool:
        """Whether several values are for one slot: alternatives, or corrections of one another."""
        for one, other in pairwise(found):
            between = _after_last_number(text[one.end : other.start])
            again = f"{between}{text[other.start :]}".lstrip(" ,.;")
            if self._language.is_correction(again):
                return True
            if self._are_alternatives(one, other, text) and not self._language.is_range(between):
                return True
        return False

    def _named_slots(self, slots: Iterable[Slot], text: str) -> dict[str, int]:
        """The slots that the text names, or whose composite it names → the position, in order of position."""
        names = [
            (slot.name, self._vocabulary[root_slot(slot.name)].name_pattern.search(text)) for slot in slots
        ]
        found = {name: match.start() for name, match in names if match}
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def _assign(self, slot: Slot, found: list[Span[_T]], text: str) -> None:
        """Sets a slot to the last of several values, since people correct themselves, or to alternatives.

        Any two values for a list item that is being filled are alternatives: they are probably two items.
        """
        if not found:
            return
        found = self._not_negated(slot, found, text)
        in_item = slot.name.partition(".")[2].startswith(f"{NEXT}.")
        for one, other in pairwise(found if not slot.is_list_item else ()):
            if one.value != other.value and (in_item or self._are_alternatives(one, other, text)):
                self.values.alternatives[slot.name] = _stored(slot, one.value), _stored(slot, other.value)
                return
        if found:
            self._set(slot, [each.value for each in found])

    def _set(self, slot: Slot, values: Sequence[object]) -> None:
        """Sets a list to all of the values, any other slot to the last."""
        kept = [_stored(slot, each) for each in values]
        self.values.by_slot[slot.name] = kept if slot.is_list_item else kept[-1]

    def _are_alternatives(self, one: Span[_T], other: Span[_T], text: str) -> bool:
        between = _after_last_number(text[one.end : other.start])
        return self._language.are_alternatives(text[: one.start], between)

    def _not_negated(self, slot: Slot, found: list[Span[_T]], text: str) -> list[Span[_T]]:
        """The values that the text does not negate; all for a list, where `list_edits` removes items."""
        if slot.is_list_item or NEXT in slot.name.split("."):
            return found
        is_negated = self._language.is_negated
        return [each for each in found if not is_negated(text[: each.start], text[each.end :])]


def _after_last_number(between: str) -> str:
    """The text between two values, without the time that belongs to the first: "Monday at 9 or Tuesday"."""
    return _DIGITS.split(between)[-1]


def _minutes_between(clock: str, other: str) -> int:
    """How many minutes apart two times of day are."""
    hour, minute = [int(one) - int(two) for one, two in zip(clock.split(":"), other.split(":"), strict=True)]
    return abs(60 * hour + minute)


def _stored(slot: Slot, value: object) -> object:
    """A value as its slot stores it. A sum is in a currency of the slot: "20 dollars" may be Canadian."""
    if slot.type != "money" or not isinstance(value, tuple):
        return value
    amount, currencies = value
    if not currencies:
        return {"amount": amount}
    taken = [each for each in currencies if each in slot.currencies]
    return {"amount": amount, "currency": [*taken, *currencies][0]}


def _blank_all(text: str, found: Iterable[Span[_T]]) -> str:
    for each in found:
        text = _blank(text, each.start, each.end)
    return text


def _blank(text: str, start: int, end: int) -> str:
    return f"{text[:start]}{' ' * (end - start)}{text[end:]}"
