"""What the languages' rules have in common: how tables of patterns are gone through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, timedelta
from typing import TypeAlias, TypeVar

from clawdbot_dialogue.core.language.language_pack import Currencies, Spoken
from clawdbot_dialogue.core.language.span import Found

_Context = TypeVar("_Context")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Today:
    """What days are counted from."""

    day: date
    past: bool
    """Whether a day that is told without its year, month or week is the last one before, not the next one."""

    def of_year(self, month: int, day: int) -> date | None:
        """The nearest such day of a year; 29 February may be eight years off."""
        step = -1 if self.past else 1
        years = range(self.day.year, max(MINYEAR, min(self.day.year + 9 * step, MAXYEAR)), step)
        return self._nearest([(year, month) for year in years], day)

    def of_month(self, day: int) -> date | None:
        """The nearest such day of a month."""
        this = 12 * self.day.year + self.day.month - 1
        months = range(this, this + (-13 if self.past else 13), -1 if self.past else 1)
        return self._nearest([(month // 12, month % 12 + 1) for month in months], day)

    def _nearest(self, months: Iterable[tuple[int, int]], day: int) -> date | None:
        """The day of the first of some years and months in which it is on this side of today."""
        for year, month in months:
            found = day_of(year, month, day)
            if found and (found <= self.day if self.past else found >= self.day):
                return found
        return None

    def weekday(self, wanted: int, *, or_today: bool) -> date:
        """The nearest day of the week, Monday being 0; today itself only where that may be meant."""
        away = (self.day.weekday() - wanted if self.past else wanted - self.day.weekday()) % 7
        away = 7 if away == 0 and not or_today else away
        return self.day + timedelta(days=-away if self.past else away)


Rule: TypeAlias = tuple[str, re.Pattern[str], Callable[[re.Match[str], _Context], _Value | None]]
"""What a text has to contain, a pattern, and what a match of it means in its context; nothing for none."""
DayRule: TypeAlias = Rule[Today, date]


_HAND_OFF = Spoken("handoff")


def any_of(words: Iterable[str]) -> str:
    """A pattern for one of some words, the longest that fits."""
    return "|".join(re.escape(each) for each in sorted(words, key=len, reverse=True))


class SetPhrases:
    """How one language says what is a whole message. A wish for a person counts anywhere in one."""

    def __init__(
        self,
        hand_off: re.Pattern[str],
        cancel: re.Pattern[str],
        help: re.Pattern[str],  # noqa: A002 - as the command is called
        small_talk: Sequence[tuple[str, re.Pattern[str]]],
    ) -> None:
        """Takes the patterns: of what stands anywhere, then of what is the message from its beginning on."""
        self._hand_off = hand_off
        whole = [(Spoken("cancel_flow"), cancel), (Spoken("help"), help)]
        whole += [(Spoken("chitchat", kind), pattern) for kind, pattern in small_talk]
        # One pattern of all, since most messages are none of these: the first that fits still is the one.
        self._whole = re.compile("|".join(f"(?P<n{n}>{each.pattern})" for n, (_, each) in enumerate(whole)))
        self._means = {f"n{number}": spoken for number, (spoken, _) in enumerate(whole)}

    def meant(self, text: str) -> Spoken | None:
        """The command or small talk that the whole message is."""
        if self._hand_off.search(text):
            return _HAND_OFF
        found = self._whole.match(text)
        return self._means[found.lastgroup or ""] if found else None


@dataclass(frozen=True, slots=True)
class Answers:
    """How one language begins a message with a yes or no; the longer phrase wins: "no problem" is a yes."""

    yes: re.Pattern[str]
    no: re.Pattern[str]
    then_not: re.Pattern[str]
    """What, behind a yes, makes a no of it."""
    unless: re.Pattern[str]
    """What, behind a yes, makes none of it: a condition, a wish, a question."""
    weak: frozenset[str]
    """A yes only where no sentence goes on from it: "good question"."""
    stops: re.Pattern[str]
    """How what is behind a yes begins where no sentence goes on."""

    def begun(self, text: str) -> bool | None:
        """Whether a message begins by saying yes or no."""
        yes, no = self.yes.match(text), self.no.match(text)
        if no and not (yes and yes.end() > no.end()):
            return False
        if yes is None:
            return None
        rest = text[yes.end() :]
        if self.then_not.match(rest):
            return False
        goes_on = yes[0] in self.weak and not self.stops.match(rest)
        return None if goes_on or self.unless.search(rest) else True


def look(
    text: str, rules: Iterable[Rule[_Context, _Value]], context: Callable[[str, int], _Context]
) -> tuple[list[Found[_Value]], str]:
    """What a table of patterns finds in a text, and the text without it: a later rule does not see it.

    Args:
        text: Folded, with digits.
        rules: In the order of certainty.
        context: Of the text that is left, and where a match begins.
    """
    found: list[Found[_Value]] = []
    for hint, pattern, reading in rules:
        for match in pattern.finditer(text) if hint in text else ():
            start, end = match.span()
            try:
                value = reading(match, context(text, start))
            except OverflowError:  # a day beyond the year 9999
                continue
            if value:
                found.append(Found(start, end, value))
                text = taken(text, start, end)
    return found, text


def days(
    text: str, today: Today, rules: Iterable[DayRule], spans: Iterable[Found[date]] = ()
) -> list[Found[date]]:
    """The days that a text names, in order.

    Args:
        text: Folded, with digits.
        today: What they are counted from.
        rules: In the order of certainty.
        spans: The ends of spans, found before.
    """
    ends = list(spans)
    for each in ends:
        text = taken(text, each.start, each.end)
    found, _ = look(text, rules, lambda *_: today)
    return sorted([*ends, *found], key=lambda each: each.start)


def span_within_month(match: re.Match[str], first: date | None) -> Iterator[Found[date]]:
    """Both ends of a span of days, `to` between them, whose `last` is a later day of the first's month."""
    last = first and day_of(first.year, first.month, int(match["last"]))
    if first and last and first < last:
        yield Found(match.start(), match.start("to"), first)
        yield Found(match.start("last"), match.end(), last)


def taken(text: str, start: int, end: int) -> str:
    """The text without a piece that is understood, all else in its place; the gap is a word to patterns."""
    return f"{text[:start]}{'_' * (end - start)}{text[end:]}"


def day_of(year: int, month: int, day: int) -> date | None:
    """The day; None for one that does not exist."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def lengths(text: str, found: Iterable[Found[float]], joined: re.Pattern[str]) -> list[Found[float]]:
    """Lengths of time, those that belong together made one: "1 hour 30 minutes", whose parts grow smaller.

    Args:
        text: What they stand in.
        found: In order.
        joined: What may stand between two parts.
    """
    whole: list[Found[float]] = []
    for each in found:
        before = whole[-1] if whole else None
        if before and before.value > each.value and joined.match(text[before.end : each.start]):
            whole[-1] = Found(before.start, each.end, before.value + each.value)
        else:
            whole.append(each)
    return whole


@dataclass(frozen=True, slots=True)
class Sum:
    """What was said of a sum of money, or of its smaller part: "20 dollars", "50 cents"."""

    start: int
    end: int
    value: float
    """In the currency itself: 0.5 for 50 cents."""
    currencies: Currencies
    minor: bool = False
    """Whether it is in a currency's smaller unit, so that it may belong to what stands before it."""


def sums(
    text: str, found: Iterable[Sum], joined: re.Pattern[str], said: Iterable[Found[float]]
) -> list[Found[tuple[float, Currencies]]]:
    """Sums of money, the smaller part made one with what it belongs to: "20 dollars and 50 cents".

    Args:
        text: What they stand in.
        found: In any order; of two in the same place, the smaller unit is meant.
        joined: What may stand between the two.
        said: The lengths of time in the text: the 2 of "2 hours" is no sum.
    """
    spans = [(each.start, each.end) for each in said]
    whole: list[Sum] = []
    for each in sorted(found, key=lambda each: (each.start, not each.minor)):
        before = whole[-1] if whole else None
        if (before and each.start < before.end) or (not each.currencies and _part(each, spans)):
            continue
        if before and _belongs(each, before) and joined.match(text[before.end : each.start]):
            # Added as decimals are, so that 20 and 0.1 are 20.1.
            value = round(before.value + each.value, 4)
            whole[-1] = Sum(before.start, each.end, value, _common(before, each), minor=True)
        else:
            whole.append(each)
    return [Found(each.start, each.end, (each.value, each.currencies)) for each in whole]


def _part(each: Sum, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether it is a part of one of the spans; as a whole it may be either, as 5m is."""
    return any(
        start <= each.start and each.end <= end and (start, end) != (each.start, each.end)
        for start, end in spans
    )


def _common(before: Sum, minor: Sum) -> Currencies:
    """What both parts of a sum may be in; cents are of any currency that was said."""
    return tuple(each for each in before.currencies if not minor.currencies or each in minor.currencies)


def _belongs(minor: Sum, before: Sum) -> bool:
    fits = bool(_common(before, minor))
    return fits and minor.minor and not before.minor and minor.value < 1 and before.value.is_integer()
