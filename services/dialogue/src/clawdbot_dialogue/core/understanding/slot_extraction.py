"""Finds slot values in a message: which of the things that it names belong to which slot.

Works from the unmistakable to the vague. Addresses and phone numbers, days and times are found first and
blanked out, so that what is left as a number is one. A vague thing, such as a bare number, goes to the slot
that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.datetimes import latest_day
from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import Slot, root_of
from clawdbot_dialogue.core.language.normalization import LONGEST_READ, fold
from clawdbot_dialogue.core.language.span import Found
from clawdbot_dialogue.core.understanding import relative_updates
from clawdbot_dialogue.core.understanding.extraction_targets import Sought

# Chinese text touches an address that stands in it, so its characters are no part of one.
_CJK = "\u2e80-\u9fff\uff00-\uffef"
_PART = rf"[^\s@<>()\[\],;:\"{_CJK}]"
_EMAIL = re.compile(rf"{_PART}{{1,64}}@{_PART}{{1,190}}\.[^\s@<>()\[\],;:\".!?{_CJK}]{{2,24}}")
_PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d ()./-]{4,24}\d(?!\w)", re.ASCII)

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)t(?=\d)", re.ASCII)

_FIGURES = re.compile(r"\d+")

_T = TypeVar("_T")


@dataclass(slots=True)
class Values:
    """What was found in one message."""

    by_slot: dict[str, object] = field(default_factory=dict)
    """Slot → its value as JSON, not yet checked against bounds."""
    either: dict[str, tuple[object, object]] = field(default_factory=dict)
    """Slots that two values were given for: "4 or 5"."""

    def listed(self, slot: Slot) -> Sequence[object]:
        """What was found for a list so far."""
        values = self.by_slot.get(slot.name)
        return values if isinstance(values, list) else ()

    def join(self, slot: Slot) -> None:
        """Makes one value of the parts of a slot, where all were found."""
        parts = {name: self.by_slot.get(part.name) for name, part in slot.parts.items() if part.required}
        if None not in parts.values():
            for part in slot.parts.values():
                self.by_slot.pop(part.name, None)
            self.by_slot[slot.name] = slot.kind.join(parts)


def find_values(
    flow: Flow, wanted: Sought, known: Mapping[str, object], *, raw: str, folded: str, now: datetime
) -> Values:
    """The values that a message gives.

    Args:
        flow: Declares the slots.
        wanted: Those that may be filled or corrected.
        known: The values that there are.
        raw: The message as written.
        folded: The message folded.
        now: Decides what "tomorrow" means.
    """
    search = _Search(flow, wanted, known, now)
    search.run(raw[:LONGEST_READ], folded)
    for moment in wanted.moments:
        search.found.join(moment)
    return search.found


class _Search:
    def __init__(self, flow: Flow, wanted: Sought, known: Mapping[str, object], now: datetime) -> None:
        self.found = Values()
        self._flow = flow
        self._words = flow.vocabulary.slots
        self._language = flow.locale
        self._wanted = wanted
        self._asked = wanted.asked
        self._slots = wanted.slots
        self._counting = wanted.counting
        self._known = known
        self._now = now

    def run(self, raw: str, text: str) -> None:
        for slot in self._slots.get("enum", ()):
            if values := self._words[slot.name].values_in(text):
                self._give(slot, values, text)
        for slot in self._slots.get("string", ()):
            if name := self._language.named(raw):
                self._fill(slot, [name])
                # Whoever is called Sunday names no day.
                text = re.sub(rf"(?<![a-z]){re.escape(fold(name))}(?![a-z])", " ", text, count=1)
        if "@" in text:
            found = [Found(*each.span(), each[0]) for each in _EMAIL.finditer(raw)]
            self._deal("email", found, raw)
            text = _EMAIL.sub(" ", text)
        if "phone" in self._slots:
            text = self._phones(text)
        if self._wanted.figures:
            self._figures(self._language.digits(text))

    def _phones(self, text: str) -> str:
        for slot in self._slots["phone"]:
            for match in _PHONE.finditer(text):
                # Whoever was asked for a number gives one, be it wrong; unasked, it must be a valid one.
                if slot.name == self._asked or slot.takes(match[0], self._now):
                    self._fill(slot, [*self.found.listed(slot), match[0]])
                    text = _blank(text, match.start(), match.end())
                    if not slot.listed:
                        break
        return text

    def _figures(self, text: str) -> None:
        text = _ISO.sub(r"\1 ", text) if self._wanted.moments else text
        text = self._shifts(text) if self._known else text
        text = self._money(text) if "money" in self._slots else text
        days = self._language.dates(text, self._now.date(), self._means_past())
        if days:
            self._deal("date", [Found(day.start, day.end, day.value.isoformat()) for day in days], text)
        # Words for a part of the day stay: "tonight" is a day, and says that 8 is 20:00.
        rest = text
        for day in days:
            if any(map(str.isdigit, text[day.start : day.end])):
                rest = _blank(rest, day.start, day.end)
        if self._wanted.moments:
            rest = self._from_now(rest)
        if "duration" in self._slots:
            said = self._language.durations(rest)
            if "time" in self._slots and self._wanted.kind != "duration":
                # 19h30 is either.
                said = [each for each in said if not self._clocks(rest[each.start : each.end], asked=False)]
            lengths = [Found(each.start, each.end, round(each.value)) for each in said]
            self._deal("duration", lengths, text)
            rest = _without(rest, lengths)
        bare = self._may_be_bare(rest)
        clocks = self._clocks(_without(rest, self._counted_in(rest)) if bare else rest, asked=bare)
        if self._wanted.moments and days and not clocks:
            self._halve(text)
        if clocks:
            read = [Found(each.start, each.end, self._reading(each.value)) for each in clocks]
            self._deal("time", read, text)
            rest = _without(rest, clocks)
        if self._counting:
            self._numbers(rest)

    def _shifts(self, text: str) -> str:
        shifted = [*relative_updates.shifted(self._flow, self._wanted, self._known, text)]
        for slot, found in shifted:
            self._fill(slot, [found.value])
        return _without(text, [found for _, found in shifted])

    def _clocks(self, text: str, *, asked: bool) -> list[Found[tuple[str, ...]]]:
        counting = any(slot.name == self._asked for slot in self._counting)
        found = self._language.times(text, asked, counting)
        if asked and found and not self._meant(self._slots["time"][0], found, text):
            # "Not at 7, 8": what is said instead needs no "at" either.
            found = [*found, *self._language.times(_without(text, found), True, counting)]
        return found

    def _halve(self, text: str) -> None:
        """Notes the half of the day for a datetime of which only the day is said: "tomorrow evening"."""
        half = self._language.day_half(text)
        for moment in self._wanted.moments if half else ():
            if moment.parts["date"].name in self.found.by_slot:
                self.found.by_slot[moment.parts["half"].name] = half

    def _means_past(self) -> bool:
        """Whether what takes a day takes none after today: a birthday, the day of an expense."""
        latest = latest_day(self._wanted.dated, self._now) if self._wanted.dated else None
        return latest is not None and latest <= self._now.date()

    def _may_be_bare(self, text: str) -> bool:
        """Whether a number may be a time of day without a word that says so, if it counts nothing.

        It may where a time was asked for, or one is corrected and nothing else that counts has a value.
        """
        if self._wanted.kind in ("time", "datetime"):
            return True
        times = any(slot.name in self._known for slot in self._slots.get("time", ()))
        others = any(slot.name in self._known for slot in self._counting if not slot.listed)
        return times and not others and self._language.corrects(text) and not self._counted_in(text)

    def _from_now(self, text: str) -> str:
        """Gives the first datetime the moment that the text counts from now: "in two hours"."""
        lengths = self._language.from_now(text)
        for each in lengths[:1]:
            when = self._now + timedelta(seconds=each.value)
            name = self._wanted.moments[0].name
            self.found.by_slot[f"{name}.date"] = when.date().isoformat()
            self.found.by_slot[f"{name}.time"] = when.time().isoformat("minutes")
        return _without(text, lengths)

    def _money(self, text: str) -> str:
        """Deals sums of money out. A bare number is one only for whom was asked for a sum."""
        said = self._language.amounts(text)
        if self._wanted.kind != "money" or any(each.value[1] for each in said):
            said = [each for each in said if each.value[1]]
        # The 20 of "200k over 20 years" is no sum where another slot counts years.
        said = [each for each in said if each.value[1] or not self._counted(text[each.end :])]
        self._deal("money", said, text)
        return _without(text, said)

    def _counted_in(self, text: str) -> list[Found[int | float]]:
        return [each for each in self._language.numbers(text) if self._counted(text[each.end :])]

    def _counted(self, after: str) -> bool:
        """Whether the text after a number says that it counts what a slot is about: "6 people" is no time."""
        return any(self._words[slot.name].counts(after) for slot in self._counting)

    def _reading(self, readings: Sequence[str]) -> str:
        """The first reading that a time slot can take: "at 7" is 19:00 where the day begins at 11:00."""
        for slot in self._slots.get("time", ())[:1]:
            likely = [each for each in readings if self._takes(slot, each)] or readings
            if half := self._known.get(f"{slot.name.rpartition('.')[0]}.half"):
                likely = [each for each in likely if (each >= "12:00") == (half == "pm")] or likely
            held = self._known.get(slot.name)
            # Who moves seven in the evening to eight means the evening.
            return min(likely, key=lambda each: _minutes(each, held)) if isinstance(held, str) else likely[0]
        return readings[0]

    def _takes(self, slot: Slot, clock: str) -> bool:
        """Whether a time fits its slot; of a datetime, on the day that was said."""
        for moment in self._wanted.moments:
            if moment.parts["time"] is slot:
                name = moment.parts["date"].name
                day = self.found.by_slot.get(name, self._known.get(name))
                return not day or moment.takes(f"{day}T{clock}", self._now)
        return slot.takes(clock, self._now)

    def _numbers(self, text: str) -> None:
        text = self._parties(self._wanted.people, text) if self._wanted.people else text
        left = self._language.numbers(text)
        if not left:
            return
        for slot in self._counting:
            hinted = [each for each in left if self._words[slot.name].counts(text[each.end :])]
            # "4 or 5 people" are both about people.
            for one, other in pairwise(left):
                if other in hinted and one not in hinted and self._either(one, other, text):
                    hinted.insert(hinted.index(other), one)
            self._give(slot, hinted, text)
            left = [each for each in left if each not in hinted]
        open_slots = [slot for slot in self._counting if slot.name not in self.found.by_slot]
        if not left or not open_slots:
            return
        first = open_slots[0]
        if first.name == self._asked:
            self._give(first, left, text)
        elif len(self._counting) == 1 and not self._is_aside(first, text):
            alone = [each for each in left if self._language.counted(text[: each.start], text[each.end :])]
            self._give(first, alone, text)

    def _is_aside(self, slot: Slot, text: str) -> bool:
        """Whether a bare number is for another question than the one that the slot has answered."""
        if self._wanted.kind in ("", "boolean") or slot.name not in self._known:
            return False
        return self._asked in self._known or not self._language.corrects(text)

    def _parties(self, slot: Slot, text: str) -> str:
        """Gives what counts people those that are counted up."""
        found = [*self._language.parties(text)]
        if slot.name in self._known and slot.name != self._asked:
            # "My wife and I have allergies" says nothing new.
            found = [each for each in found if any(map(str.isdigit, text[each.start : each.end]))]
        if found:
            self._give(slot, found[:1], text)
            text = _without(text, found)
        return text

    def _deal(self, kind: str, found: list[Found[_T]], text: str) -> None:
        """Gives the values of a type to its slots: the only one gets all, each that is named its own."""
        slots = self._slots.get(kind, [])
        if len(slots) == 1 or (slots and slots[0].listed):
            self._give(slots[0], found, text)
            return
        left, named = self._meant(slots[0], found, text) if slots else [], self._named(slots, text)
        # "Return on sunday" or "sunday for the return": as it begins, so it goes on.
        before = bool(named and found and next(iter(named.values())) < found[0].start)
        for name, at in named.items():
            on_that_side = [each for each in left if (each.start > at) == before] or left
            for nearest in sorted(on_that_side, key=lambda each: abs(each.start - at))[:1]:
                left.remove(nearest)
                self._fill(self._flow.askable[name], [nearest.value])
        rest = [each for each in slots if each.name not in named]
        unknown = [each for each in rest if each.name == self._asked or each.name not in self._known]
        if unknown and (len(unknown) == 1 or self._is_one(left, text)):
            self._give(unknown[0], left, text)
            return
        for slot, value in zip(unknown or rest, left, strict=False):
            self._fill(slot, [value.value])

    def _is_one(self, found: list[Found[_T]], text: str) -> bool:
        """Whether several values are for one slot: alternatives, or corrections of one another."""
        for one, other in pairwise(found):
            between = _tail(text[one.end : other.start])
            again = f"{between}{text[other.start :]}".lstrip(" ,.;")
            if self._language.corrects(again):
                return True
            if self._either(one, other, text) and not self._language.spans(between):
                return True
        return False

    def _named(self, slots: Iterable[Slot], text: str) -> dict[str, int]:
        """Where the text names some of the slots, or what they are parts of, in that order."""
        names = [(slot.name, self._words[root_of(slot.name)].name.search(text)) for slot in slots]
        found = {name: said.start() for name, said in names if said}
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def _give(self, slot: Slot, found: list[Found[_T]], text: str) -> None:
        """Gives a slot the last of some values, since people correct themselves, or notes both: "4 or 5".

        Of an item that is put together two values are noted too: they are likely two items.
        """
        if not found:
            return
        found = self._meant(slot, found, text)
        in_item = slot.name.partition(".")[2].startswith(f"{NEXT}.")
        for one, other in pairwise(found if not slot.listed else ()):
            if one.value != other.value and (in_item or self._either(one, other, text)):
                self.found.either[slot.name] = (_kept(slot, one.value), _kept(slot, other.value))
                return
        if found:
            self._fill(slot, [each.value for each in found])

    def _fill(self, slot: Slot, values: Sequence[object]) -> None:
        """A list takes all values, anything else the last."""
        kept = [_kept(slot, each) for each in values]
        self.found.by_slot[slot.name] = kept if slot.listed else kept[-1]

    def _either(self, one: Found[_T], other: Found[_T], text: str) -> bool:
        return self._language.either(text[: one.start], _tail(text[one.end : other.start]))

    def _meant(self, slot: Slot, found: list[Found[_T]], text: str) -> list[Found[_T]]:
        """Those that the text does not take back; what it takes off a list, `listing` has to know."""
        if slot.listed or NEXT in slot.name.split("."):
            return found
        denied = self._language.denied
        return [each for each in found if not denied(text[: each.start], text[each.end :])]


def _tail(between: str) -> str:
    """What stands before a value, without the time of the day before it: "Monday at 9 or Tuesday"."""
    return _FIGURES.split(between)[-1]


def _minutes(clock: str, other: str) -> int:
    """How far apart two times of day are."""
    hour, minute = [int(one) - int(two) for one, two in zip(clock.split(":"), other.split(":"), strict=True)]
    return abs(60 * hour + minute)


def _kept(slot: Slot, value: object) -> object:
    """A value as its slot has it; a sum in the currency that the slot takes: "20 dollars" may be Canadian."""
    if slot.type != "money" or not isinstance(value, tuple):
        return value
    amount, currencies = value
    if not currencies:
        return {"amount": amount}
    taken = [each for each in currencies if each in slot.currencies]
    return {"amount": amount, "currency": [*taken, *currencies][0]}


def _without(text: str, found: Iterable[Found[_T]]) -> str:
    for each in found:
        text = _blank(text, each.start, each.end)
    return text


def _blank(text: str, start: int, end: int) -> str:
    return f"{text[:start]}{' ' * (end - start)}{text[end:]}"
