"""Chinese, as it is written on the mainland; traditional characters are understood too."""

from __future__ import annotations

from clawdbot_dialogue.core.understanding.locale import Locale
from clawdbot_dialogue.core.understanding.locales.zh import (
    amounts,
    choices,
    dates,
    durations,
    figures,
    names,
    numbers,
    parties,
    shifts,
    speech,
    times,
)
from clawdbot_dialogue.core.understanding.locales.zh.lists import LISTS
from clawdbot_dialogue.core.understanding.locales.zh.wording import WORDING

LOCALE = Locale(
    name="zh",
    script="han",
    joint="",
    wording=WORDING,
    set_phrase=speech.set_phrase,
    yes_no=speech.yes_no,
    only_yes_no=speech.only_yes_no,
    corrects=speech.corrects,
    asks=speech.asks,
    changed_slot=speech.changed_slot,
    changed_to=speech.changed_to,
    digits=figures.digits,
    dates=dates.dates,
    times=times.times,
    day_half=times.day_half,
    durations=durations.durations,
    amounts=amounts.amounts,
    numbers=numbers.numbers,
    parties=parties.parties,
    people=parties.PEOPLE,
    of_people=parties.of_people,
    counted=numbers.counted,
    either=choices.either,
    spans=choices.spans,
    denied=choices.denied,
    bare_name=names.bare_name,
    named=names.named,
    spoken=names.spoken,
    from_now=durations.from_now,
    shifts=shifts.shifts,
    lists=LISTS,
    show_date=dates.show_date,
    show_datetime=dates.show_datetime,
    show_duration=durations.show_duration,
    show_amount=amounts.show_amount,
)
"""The locale."""
