"""What all languages' rules share: scanning text with tables of patterns, and merging what they find."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, timedelta
from typing import TypeAlias, TypeVar

from clawdbot_dialogue.core.language.language_pack import Currencies, SetPhrase
from clawdbot_dialogue.core.language.span import Span

_Context = TypeVar("_Context")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ReferenceDate:
    """The date that relative dates are counted from."""

    day: date
    prefer_past: bool
    """Whether a date without its year, month or week is the last one before, rather than the next one."""

    def nearest_month_day(self, month: int, day: int) -> date | None:
        """The nearest date with this month and day; 29 February may be eight years off."""
        step = -1 if self.prefer_past else 1
        years = range(self.day.year, max(MINYEAR, min(self.day.year + 9 * step, MAXYEAR)), step)
        return self._first_valid([(year, month) for year in years], day)

    def nearest_day_of_month(self, day: int) -> date | None:
        """The nearest date with this day of the month."""
        this = 12 * self.day.year + self.day.month - 1
        months = range(this, this + (-13 if self.prefer_past else 13), -1 if self.prefer_past else 1)
        return self._first_valid([(month // 12, month % 12 + 1) for month in months], day)

    def _first_valid(self, months: Iterable[tuple[int, int]], day: int) -> date | None:
        """The date in the first (year, month) that has this day, on the right side of the reference date."""
        for year, month in months:
            found = date_or_none(year, month, day)
            if found and (found <= self.day if self.prefer_past else found >= self.day):
                return found
        return None

    def nearest_weekday(self, wanted: int, *, or_today: bool) -> date:
        """The nearest such weekday, Monday being 0; the reference date itself only if `or_today`."""
        away = (self.day.weekday() - wanted if self.prefer_past else wanted - self.day.weekday()) % 7
        away = 7 if away == 0 and not or_today else away
        return self.day + timedelta(days=-away if self.prefer_past else away)


Interpret: TypeAlias = Callable[[re.Match[str], _Context], _Value | None]
"""Makes a value of a match and its context, or None."""
Rule: TypeAlias = tuple[tuple[str, ...], re.Pattern[str], Interpret[_Context, _Value]]
"""Strings of which the text must contain one, a pattern, and what makes a value of its matches.

The strings are a cheap check before the pattern runs.
"""
DateRule: TypeAlias = Rule[ReferenceDate, date]


_HAND_OFF = SetPhrase("handoff")


def rule(hints: str, pattern: str, interpret: Interpret[_Context, _Value]) -> Rule[_Context, _Value]:
    """A rule, with its hints separated by "|"; empty for a pattern that is always tried."""
    return tuple(hints.split("|")), re.compile(pattern), interpret


def alternation(words: Iterable[str]) -> str:
    """A pattern that matches one of the words, the longest first."""
    return "|".join(re.escape(each) for each in sorted(words, key=len, reverse=True))


class SetPhraseRules:
    """The set phrases of one language: `hand_off` counts anywhere in a message, the others only alone."""

    def __init__(
        self,
        hand_off: re.Pattern[str],
        cancel: re.Pattern[str],
        help: re.Pattern[str],  # noqa: A002 - as the command is called
        small_talk: Sequence[tuple[str, re.Pattern[str]]],
    ) -> None:
        """Takes `hand_off`, which may match anywhere, and patterns that match at the start of a message."""
        self._hand_off = hand_off
        whole = [(SetPhrase("cancel_flow"), cancel), (SetPhrase("help"), help)]
        whole += [(SetPhrase("chitchat", kind), pattern) for kind, pattern in small_talk]
        # Joined into one pattern, since most messages match none of them. The first alternative still wins.
        self._whole = re.compile("|".join(f"(?P<n{n}>{each.pattern})" for n, (_, each) in enumerate(whole)))
        self._by_group = {f"n{number}": phrase for number, (phrase, _) in enumerate(whole)}

    def match(self, text: str) -> SetPhrase | None:
        """The set phrase that the message is; None for any other message."""
        if self._hand_off.search(text):
            return _HAND_OFF
        found = self._whole.match(text)
        return self._by_group[found.lastgroup or ""] if found else None


@dataclass(frozen=True, slots=True)
class YesNoRules:
    """Yes as a whole message, no at the start of one: a yes books things, a no does not."""

    assent: re.Pattern[str]
    """The whole of a message that says yes and nothing else."""
    fillers: re.Pattern[str]
    """At the start, before a no: "well", "um"."""
    neither: re.Pattern[str]
    """Of what is neither a yes nor a no, though it may begin like one: "no problem"."""
    no: re.Pattern[str]
    yes: re.Pattern[str]
    """A phrase that says yes."""
    negation_after: re.Pattern[str]
    """After a yes: turns it into a no."""

    def answer(self, text: str) -> bool | None:
        """Whether a message says yes in all its words, or begins with a no; None for neither."""
        if self.assent.fullmatch(text):
            return True
        text = self.fillers.sub("", text)
        if self.neither.search(text):
            return None
        if self.no.match(text):
            return False
        yes = self.yes.match(text)
        return False if yes and self.negation_after.match(text, yes.end()) else None


def scan(
    text: str, rules: Iterable[Rule[_Context, _Value]], context: Callable[[str, int], _Context]
) -> tuple[list[Span[_Value]], str]:
    """Everything that the rules find in a text, and the text with it masked: later rules do not see it.

    Args:
        text: Normalized, with digits.
        rules: The most certain first.
        context: Makes a rule's context from the remaining text and the start of a match.
    """
    found: list[Span[_Value]] = []
    for hints, pattern, interpret in rules:
        if not any(map(text.__contains__, hints)):
            continue
        for match in pattern.finditer(text):
            start, end = match.span()
            try:
                value = interpret(match, context(text, start))
            except OverflowError:  # a date beyond the year 9999
                continue
            if value:
                found.append(Span(start, end, value))
                text = mask(text, start, end)
    return found, text


def scan_dates(
    text: str, today: ReferenceDate, rules: Iterable[DateRule], range_ends: Iterable[Span[date]] = ()
) -> list[Span[date]]:
    """The dates in a text, in order.

    Args:
        text: Normalized, with digits.
        today: The date that relative dates are counted from.
        rules: The most certain first.
        range_ends: The ends of ranges, which were found before.
    """
    ends = list(range_ends)
    for each in ends:
        text = mask(text, each.start, each.end)
    found, _ = scan(text, rules, lambda *_: today)
    return sorted([*ends, *found], key=lambda each: each.start)


def range_within_month(match: re.Match[str], first: date | None) -> Iterator[Span[date]]:
    """Both ends of a range of dates within one month; the match has the groups `to` and `last`."""
    last = first and date_or_none(first.year, first.month, int(match["last"]))
    if first and last and first < last:
        yield Span(match.start(), match.start("to"), first)
        yield Span(match.start("last"), match.end(), last)


def mask(text: str, start: int, end: int) -> str:
    """The text with a piece replaced by underscores: positions stay, and patterns see the gap as a word."""
    return f"{text[:start]}{'_' * (end - start)}{text[end:]}"


def date_or_none(year: int, month: int, day: int) -> date | None:
    """The date; None if it does not exist."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def merge_durations(text: str, found: Iterable[Span[float]], joined: re.Pattern[str]) -> list[Span[float]]:
    """Merges the parts of one duration, which become smaller and smaller: "1 hour 30 minutes".

    Args:
        text: The text they were found in.
        found: Durations in seconds, in order.
        joined: Matches the text between two parts.
    """
    whole: list[Span[float]] = []
    for each in found:
        before = whole[-1] if whole else None
        if before and before.value > each.value and joined.match(text[before.end : each.start]):
            whole[-1] = Span(before.start, each.end, before.value + each.value)
        else:
            whole.append(each)
    return whole


@dataclass(frozen=True, slots=True)
class MoneyMention:
    """A sum of money in a text, or its minor part: "20 dollars", "50 cents"."""

    start: int
    end: int
    value: float
    """In the major unit: 0.5 for 50 cents."""
    currencies: Currencies
    minor: bool = False
    """Whether it is in the minor unit, so that it may belong to the mention before it."""


def merge_money(
    text: str, found: Iterable[MoneyMention], joined: re.Pattern[str], durations: Iterable[Span[float]]
) -> list[Span[tuple[float, Currencies]]]:
    """Merges the major and minor part of one sum of money: "20 dollars and 50 cents".

    Args:
        text: The text they were found in.
        found: In any order; of two in the same place, the one in the minor unit wins.
        joined: Matches the text between two parts.
        durations: The durations in the text: the 2 of "2 hours" is not a sum.
    """
    spans = [(each.start, each.end) for each in durations]
    whole: list[MoneyMention] = []
    for each in sorted(found, key=lambda each: (each.start, not each.minor)):
        before = whole[-1] if whole else None
        if (before and each.start < before.end) or (not each.currencies and _is_part(each, spans)):
            continue
        if before and _is_minor_part(each, before) and joined.match(text[before.end : each.start]):
            # Rounded, so that 20 plus 0.1 is 20.1 exactly.
            value = round(before.value + each.value, 4)
            whole[-1] = MoneyMention(
                before.start, each.end, value, _common_currencies(before, each), minor=True
            )
        else:
            whole.append(each)
    return [Span(each.start, each.end, (each.value, each.currencies)) for each in whole]


def _is_part(each: MoneyMention, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether it is a proper part of one of the spans; a whole span may be either, such as 5m."""
    return any(
        start <= each.start and each.end <= end and (start, end) != (each.start, each.end)
        for start, end in spans
    )


def _common_currencies(before: MoneyMention, minor: MoneyMention) -> Currencies:
    """The currencies that both parts of a sum may be in; cents may belong to any currency."""
    return tuple(each for each in before.currencies if not minor.currencies or each in minor.currencies)


def _is_minor_part(minor: MoneyMention, before: MoneyMention) -> bool:
    fits = bool(_common_currencies(before, minor))
    return fits and minor.minor and not before.minor and minor.value < 1 and before.value.is_integer()
