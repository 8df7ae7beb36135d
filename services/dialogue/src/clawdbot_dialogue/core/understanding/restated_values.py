"""What a message says besides the values that were read in it, for a confirmation: "yes, at 7".

A yes counts only if every word is accounted for. A value is, if it was taken for a slot or repeats the value
of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.language.normalization import VALUE, normalize
from clawdbot_dialogue.core.language.span import Span
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets
from clawdbot_dialogue.core.understanding.slot_extraction import ExtractedValues


def mark_values(
    flow: Flow,
    targets: ExtractionTargets,
    values: ExtractedValues,
    *,
    known: Mapping[str, object],
    normalized: str,
    now: datetime,
) -> str:
    """The normalized message with VALUE in place of each value that is accounted for.

    Args:
        flow: Declares the slots.
        targets: The slots that the message was searched for.
        values: What was found.
        known: The known values. A bare number that repeats one need not be taken: "for 4 tomorrow".
        normalized: The normalized message.
        now: The person's time.
    """
    language, vocabulary = flow.locale, flow.vocabulary.slots
    taken = [*_leaves(values.by_slot)]
    text = normalized
    for kind in ("string", "email", "phone"):
        for slot in targets.by_type.get(kind, ()):
            if value := values.by_slot.get(slot.name):
                text = text.replace(normalize(str(value)), VALUE, 1)
    for slot in targets.by_type.get("enum", ()):
        if slot.name in values.by_slot and (pattern := vocabulary[slot.name].value_pattern):
            text = pattern.sub(VALUE, text)
    text = language.normalize_numerals(text)
    days = [each for each in language.dates(text, now.date(), False) if each.value.isoformat() in taken]
    # Words that name a part of the day stay for the times, as in extraction: "tonight at 8".
    text = _mark(text, [each for each in days if any(map(str.isdigit, text[each.start : each.end]))])
    times = [each for each in language.times(text, False, False) if any(one in taken for one in each.value)]
    durations = language.durations(text) if "duration" in targets.by_type else []
    text = _mark(text, [*days, *times, *[each for each in durations if round(each.value) in taken]])
    said = {**known, **values.by_slot}
    for number in reversed(language.numbers(text)):
        named = [slot for slot in targets.numeric if said.get(slot.name) == number.value]
        unit = named and vocabulary[named[0].name].unit_pattern
        after = unit.match(text[number.end :]) if unit else None
        end = number.end + (after.end() if after else 0)
        if named:
            text = f"{text[: number.start]}{VALUE}{text[end:]}"
    return text


def _mark(text: str, found: Iterable[Span[Any]]) -> str:
    for each in found:
        text = f"{text[: each.start]}{VALUE * (each.end - each.start)}{text[each.end :]}"
    return text


def _leaves(value: object) -> Iterator[object]:
    """The values at the bottom of nested ones; a datetime as a date and a time."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, str):
        yield from (value, *value.split("T"))
    else:
        yield value
