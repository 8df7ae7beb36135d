"""What differs from language to language: how things are said, and how they are understood.

A locale is a table of functions and wordings, one folder each under locales/. The rest of the rules and the
whole machine know no language.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from clawdbot_dialogue.core.language.list_grammar import Lists
from clawdbot_dialogue.core.language.span import Found, Shift

LOCALES: Mapping[str, str] = {
    "en": "clawdbot_dialogue.core.language.en",
    "zh": "clawdbot_dialogue.core.language.zh",
}
"""Locale name → the module whose `LOCALE` it is."""


Currencies: TypeAlias = tuple[str, ...]
"""Those of ISO 4217 that a sum may be in, the likeliest first: all that are called dollars; none where none
is said."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a whole message means when it is nothing but a set phrase."""

    name: Literal["cancel_flow", "handoff", "help", "chitchat"]
    kind: str = ""
    """For chitchat: greeting, thanks, how_are_you or farewell."""


@dataclass(frozen=True, slots=True)
class Locale:
    """One language. Texts given to its functions are folded: NFKC, lower case, single spaces."""

    name: str
    script: Literal["latin", "han"]
    """The letters that it is written in: by them a person is heard to change the language."""
    joint: str
    """What stands between two sentences: a space, or nothing."""
    wording: Mapping[str, str]
    """What the machine itself says: str.format templates by purpose; WORDINGS lists them."""
    set_phrase: Callable[[str], Spoken | None]
    """A command that the whole message is."""
    yes_no: Callable[[str], bool | None]
    """Whether the message says yes or no."""
    only_yes_no: Callable[[str], bool | None]
    """Whether the message says yes or no, and nothing else."""
    corrects: Callable[[str], bool]
    """Whether the message begins like a correction: "actually", "no, make it"."""
    asks: Callable[[str], bool]
    """Whether the message is a question."""
    changed_slot: Callable[[str], str]
    """What the person wants to say anew: "change the date" → "the date"; empty where nothing."""
    changed_to: Callable[[str], str]
    """What the person wants it to be: "change the city to Paris" → "Paris". Takes the text as written."""
    digits: Callable[[str], str]
    """The text with its number words as digits."""
    dates: Callable[[str, date, bool], list[Found[date]]]
    """The days that a text with digits names, given today; in order, never overlapping. True where a day
    without its year or week is the last one rather than the next."""
    times: Callable[[str, bool, bool], list[Found[tuple[str, ...]]]]
    """The times of day, each with its readings ("at 7": 19:00, 07:00), likeliest first; True when a time was
    asked for and needs no word such as "at"; True when a number was, so that "around 7" may be one."""
    day_half: Callable[[str], str]
    """The half of the day that a text speaks of, "am" or "pm": "tomorrow evening"; empty for none."""
    durations: Callable[[str], list[Found[float]]]
    """The lengths of time that a text with digits names, in seconds."""
    amounts: Callable[[str], list[Found[tuple[float, Currencies]]]]
    """The sums of money that a text with digits names, each with what it may be in."""
    numbers: Callable[[str], list[Found[int | float]]]
    """The numbers that are left."""
    parties: Callable[[str], Iterable[Found[int]]]
    """How many people the text counts up, and where: "2 adults and a child"."""
    people: tuple[str, ...]
    """What a slot counts that counts people."""
    of_people: Callable[[str], bool]
    """Whether the text after a number makes it one of people, or says nothing of what it counts."""
    counted: Callable[[str, str], bool]
    """Whether the texts before and after a number leave it standing for itself: "make it 6, please"."""
    either: Callable[[str, str], bool]
    """Whether the texts before and between two values leave open which is meant: "or", "between … and"."""
    spans: Callable[[str], bool]
    """Whether the text between two values makes them the ends of a span: "to"."""
    denied: Callable[[str, str], bool]
    """Whether the texts before and after a value take it back: "not Friday", "Friday doesn't work"."""
    bare_name: Callable[[str], str]
    """A person's name without what is said around it: "my name is Ada" → "Ada". Takes the text as written."""
    from_now: Callable[[str], list[Found[float]]]
    """The lengths of time that a text with digits counts from now, in seconds: "in two hours"."""
    shifts: Callable[[str], Iterable[Found[Shift]]]
    """By how much a text with digits moves what is known: "one more person", "an hour later"."""
    lists: Lists
    named: Callable[[str], str]
    """The name that a text gives in so many words, unasked: "…, under the name of Ada"; empty for none."""
    spoken: Callable[[str], str]
    """An identifier as said: "party_size" → "party size"."""
    show_date: Callable[[date], str]
    show_datetime: Callable[[datetime], str]
    show_duration: Callable[[float], str]
    """Seconds, as a person says them: "2 hours 30 minutes"."""
    show_amount: Callable[[float, str], str]
    """A sum of money and its ISO 4217 currency: "30.50 EUR"."""


WORDINGS = frozenset(
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
"""Every purpose that a locale has words for."""


@functools.cache
def locale(name: str) -> Locale:
    """The locale of that name.

    Raises:
        KeyError: there is none.
    """
    found: Locale = importlib.import_module(LOCALES[name]).LOCALE
    return found
