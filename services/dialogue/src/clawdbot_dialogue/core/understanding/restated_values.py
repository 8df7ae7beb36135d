"""What a message says besides the values that were read in it, for a confirmation: "yes, at 7".

A yes counts only if every word is accounted for, and a value is, if it was taken for a slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.language.normalization import VALUE, normalize
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets
from clawdbot_dialogue.core.understanding.slot_extraction import ExtractedValues


def mark_values(
    flow: Flow, targets: ExtractionTargets, values: ExtractedValues, normalized: str, now: datetime
) -> str:
    """The normalized message with VALUE in place of each value that was taken for a slot.

    Args:
        flow: Declares the slots.
        targets: The slots that the message was searched for.
        values: What was found.
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
    times = [each for each in language.times(text, False, False) if any(one in taken for one in each.value)]
    spans = [(each.start, each.end) for each in (*days, *times)]
    if "duration" in targets.by_type:
        spans += [(each.start, each.end) for each in language.durations(text) if round(each.value) in taken]
    for start, end in spans:
        text = f"{text[:start]}{VALUE * (end - start)}{text[end:]}"
    for number in reversed(language.numbers(text)):
        named = [slot for slot in targets.numeric if values.by_slot.get(slot.name) == number.value]
        unit = named and vocabulary[named[0].name].unit_pattern
        after = unit.match(text[number.end :]) if unit else None
        end = number.end + (after.end() if after else 0)
        if named:
            text = f"{text[: number.start]}{VALUE}{text[end:]}"
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
