"""Everything that differs from language to language: what is said, and how text is understood.

A language pack is a table of functions and messages; `language_registry` finds those that are
installed. The other rules and the machine contain nothing that is specific to a language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from clawdbot_dialogue.core.language.list_grammar import ListGrammar
from clawdbot_dialogue.core.language.span import RelativeUpdate, Span

Currencies: TypeAlias = tuple[str, ...]
"""The ISO 4217 codes that a sum may be in, likeliest first: every currency that is called a dollar. Empty if
the text names no currency."""


@dataclass(frozen=True, slots=True)
class SetPhrase:
    """The meaning of a message that consists of a set phrase alone."""

    name: Literal["cancel_flow", "handoff", "help", "chitchat"]
    kind: str = ""
    """For chitchat: "greeting", "thanks", "how_are_you" or "farewell"; empty for other commands."""


@dataclass(frozen=True, slots=True)
class LanguagePack:
    """One language. Its functions take normalized text (see `normalization`) unless they say otherwise."""

    name: str
    """Its BCP 47 tag: the name of its entry point."""
    script: Literal["latin", "han"]
    """The script it is written in; a message in another script may switch the conversation's language."""
    sentence_separator: str
    """Goes between two sentences: a space, or nothing."""
    messages: Mapping[str, str]
    """The machine's own messages: `str.format` templates by key; MESSAGE_KEYS lists the keys."""
    set_phrase: Callable[[str], SetPhrase | None]
    """The command that the whole message stands for."""
    yes_no: Callable[[str], bool | None]
    """Whether the message says yes or no; None for neither. It says yes only if the whole of it is a
    yes in an `AssentGrammar`, where VALUE stands for a value that was read; a no may have more words."""
    only_yes_no: Callable[[str], bool | None]
    """As `yes_no`, for a message that says nothing else; otherwise None."""
    is_correction: Callable[[str], bool]
    """Whether the message begins like a correction: "actually", "no, make it"."""
    is_question: Callable[[str], bool]
    """Whether the message is a question or a request."""
    slot_to_change: Callable[[str], str]
    """What the person wants to change: "change the date" → "date"; empty if nothing."""
    new_value: Callable[[str], str]
    """The value the person wants instead: "change the city to Paris" → "Paris". Takes the text as written."""
    normalize_numerals: Callable[[str], str]
    """The text with number words and numerals written as digits: "for twenty-one" → "for 21". The functions
    below take its output."""
    dates: Callable[[str, date, bool], list[Span[date]]]
    """The dates in a text, given today; in order, never overlapping. The flag is True if a date without a
    year or week is the last one rather than the next one."""
    times: Callable[[str, bool, bool], list[Span[tuple[str, ...]]]]
    """The times of day, each with its possible readings ("at 7": 07:00, 19:00), likeliest first. First flag:
    a time was asked for, so a bare number is one. Second flag: a number was asked for, so "around 7" may be
    that number."""
    am_or_pm: Callable[[str], str]
    """The half of the day that a text mentions ("tomorrow evening"): "am" or "pm"; empty for none."""
    durations: Callable[[str], list[Span[float]]]
    """The durations, in seconds."""
    money: Callable[[str], list[Span[tuple[float, Currencies]]]]
    """The sums of money, each with its possible currencies."""
    numbers: Callable[[str], list[Span[int | float]]]
    """The numbers; dates, times, ordinals and percentages are not numbers."""
    group_sizes: Callable[[str], Iterable[Span[int]]]
    """The total of people that the text counts up, and where: "2 adults and a child"."""
    people_units: tuple[str, ...]
    """The units of a slot that counts people: "people", "guests"."""
    counts_people: Callable[[str], bool]
    """Whether the text after a number says that it counts people, or does not say what it counts."""
    is_bare_number: Callable[[str, str], bool]
    """Whether a number, given the text before and after it, counts nothing else: "make it 6, please"."""
    are_alternatives: Callable[[str, str], bool]
    """Whether two values, given the text before and between them, are alternatives: "or", "between … and"."""
    is_range: Callable[[str], bool]
    """Whether the text between two values makes them the ends of a range: "to"."""
    is_negated: Callable[[str, str], bool]
    """Whether a value, given the text before and after it, is negated: "not Friday", "Friday doesn't
    work"."""
    bare_name: Callable[[str], str]
    """A person's name without the words around it: "my name is Ada" → "Ada". Takes the text as written."""
    offsets_from_now: Callable[[str], list[Span[float]]]
    """The durations that are counted from now, in seconds; negative for the past: "in 2 hours", "2 hours
    ago"."""
    relative_updates: Callable[[str], Iterable[Span[RelativeUpdate]]]
    """By how much the text changes a known value: "one more person", "an hour later"."""
    list_grammar: ListGrammar
    stated_name: Callable[[str], str]
    """The name that a text states explicitly, unasked: "…, under the name of Ada"; empty for none. Takes the
    text as written."""
    humanize: Callable[[str], str]
    """An identifier in words: "party_size" → "party size"."""
    format_date: Callable[[date], str]
    format_datetime: Callable[[datetime], str]
    format_duration: Callable[[float], str]
    """Takes seconds: "2 hours 30 minutes"."""
    format_money: Callable[[float, str], str]
    """Takes an amount and its ISO 4217 code: "30.50 EUR"."""


MESSAGE_KEYS = frozenset(
    {
        "ask",
        "ask_date",
        "ask_time",
        "the_date",
        "the_time",
        "not_understood",
        "cancelled",
        "cannot_cancel",
        "no_person",
        "handed_off",
        "help",
        "greeting",
        "thanks",
        "how_are_you",
        "farewell",
        "tool_failed",
        "model_failed",
        "stuck",
        "unknown",
        "between_fields",
        "between_items",
        "yes",
        "no",
        "either",
        "too_late",
        "too_small",
        "too_large",
        "too_early",
        "too_late_value",
        "too_short",
        "too_long",
        "no_match",
        "not_a_value",
        "not_integer",
        "not_number",
        "not_text",
        "not_boolean",
        "not_date",
        "not_time",
        "not_datetime",
        "not_duration",
        "not_money",
        "not_currency",
        "not_email",
        "not_phone",
        "not_object",
        "not_list",
        "no_part",
        "part_missing",
        "too_few",
        "too_many",
    }
)
"""The keys of every language pack's messages."""
