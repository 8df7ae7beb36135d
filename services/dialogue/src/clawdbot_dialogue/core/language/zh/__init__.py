"""Chinese, as it is written on the mainland; traditional characters are understood too."""

from __future__ import annotations

from clawdbot_dialogue.core.language.language_pack import Locale
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
from clawdbot_dialogue.core.language.zh.list_grammar import LISTS
from clawdbot_dialogue.core.language.zh.messages import WORDING

LOCALE = Locale(
    name="zh",
    script="han",
    joint="",
    wording=WORDING,
    set_phrase=phrases.set_phrase,
    yes_no=phrases.yes_no,
    only_yes_no=phrases.only_yes_no,
    corrects=phrases.corrects,
    asks=phrases.asks,
    changed_slot=phrases.changed_slot,
    changed_to=phrases.changed_to,
    digits=numerals.digits,
    dates=dates.dates,
    times=times.times,
    day_half=times.day_half,
    durations=durations.durations,
    amounts=money.amounts,
    numbers=numbers.numbers,
    parties=group_sizes.parties,
    people=group_sizes.PEOPLE,
    of_people=group_sizes.of_people,
    counted=numbers.counted,
    either=alternatives.either,
    spans=alternatives.spans,
    denied=alternatives.denied,
    bare_name=names.bare_name,
    named=names.named,
    spoken=names.spoken,
    from_now=durations.from_now,
    shifts=relative_updates.shifts,
    lists=LISTS,
    show_date=dates.show_date,
    show_datetime=dates.show_datetime,
    show_duration=durations.show_duration,
    show_amount=money.show_amount,
)
"""The locale."""
