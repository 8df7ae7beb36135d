"""Chinese: replies are in simplified characters; traditional ones are understood too."""

from __future__ import annotations

from clawdbot_dialogue.core.language.language_pack import LanguagePack
from clawdbot_dialogue.core.language.zh import (
    alternatives,
    dates,
    durations,
    group_sizes,
    money,
    names,
    numbers,
    numerals,
    phrases,
    relative_updates,
    times,
)
from clawdbot_dialogue.core.language.zh.list_grammar import LIST_GRAMMAR
from clawdbot_dialogue.core.language.zh.messages import MESSAGES

LANGUAGE_PACK = LanguagePack(
    name="zh",
    script="han",
    sentence_separator="",
    messages=MESSAGES,
    set_phrase=phrases.set_phrase,
    yes_no=phrases.yes_no,
    only_yes_no=phrases.only_yes_no,
    is_correction=phrases.is_correction,
    is_question=phrases.is_question,
    slot_to_change=phrases.slot_to_change,
    new_value=phrases.new_value,
    normalize_numerals=numerals.normalize_numerals,
    dates=dates.dates,
    times=times.times,
    am_or_pm=times.am_or_pm,
    durations=durations.durations,
    money=money.money,
    numbers=numbers.numbers,
    group_sizes=group_sizes.group_sizes,
    people_units=group_sizes.PEOPLE_UNITS,
    counts_people=group_sizes.counts_people,
    is_bare_number=numbers.is_bare_number,
    are_alternatives=alternatives.are_alternatives,
    is_range=alternatives.is_range,
    is_negated=alternatives.is_negated,
    bare_name=names.bare_name,
    stated_name=names.stated_name,
    humanize=names.humanize,
    offsets_from_now=durations.offsets_from_now,
    relative_updates=relative_updates.relative_updates,
    list_grammar=LIST_GRAMMAR,
    format_date=dates.format_date,
    format_datetime=dates.format_datetime,
    format_duration=durations.format_duration,
    format_money=money.format_money,
)
"""The language pack."""
