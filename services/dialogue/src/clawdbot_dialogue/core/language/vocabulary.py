"""The vocabulary of one flow, compiled once: what its slots, their values and its triggers are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from clawdbot_dialogue.core.language.normalization import normalize
from clawdbot_dialogue.core.language.span import Span


@dataclass(frozen=True, slots=True)
class SlotVocabulary:
    """The phrases of one slot."""

    name_pattern: re.Pattern[str]
    """Matches the slot itself: its name in words, and its hints."""
    value_pattern: re.Pattern[str] | None
    """For an enum: matches any phrase for one of its values."""
    value_by_phrase: Mapping[str, str]
    """For an enum: normalized phrase → value; "colas" as well as "cola"."""
    unit_pattern: re.Pattern[str] | None
    """Matches the start of the text after a number that counts this slot's units: "people"."""

    def counts(self, after: str) -> bool:
        """Whether the text after a number says that it counts this slot's units."""
        return bool(self.unit_pattern and self.unit_pattern.match(after))

    def counts_any(self, units: Iterable[str]) -> bool:
        """Whether one of these is a unit of this slot."""
        return any(self.counts(each) for each in units)

    def find_values(self, text: str) -> list[Span[str]]:
        """The enum's values in the text, in order."""
        found = self.value_pattern.finditer(text) if self.value_pattern else ()
        return [Span(*each.span(), self.value_by_phrase[each[0]]) for each in found]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The phrases of one flow."""

    slots: Mapping[str, SlotVocabulary]
    """By path: slots, and parts of slots."""
    triggers: re.Pattern[str] | None
    """Matches what a person says to start the flow."""

    def trigger_length(self, text: str) -> int:
        """The length of the longest trigger in a normalized text; 0 for none."""
        if self.triggers is None or not self.triggers.search(text):
            return 0
        return max((len(found[0]) for found in self.triggers.finditer(text)), default=0)


def phrase_pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Matches each of the phrases as whole words, the longest first; None if there are no phrases."""
    words = sorted({normalize(each) for each in phrases} - {""}, key=len, reverse=True)
    if not words:
        return None
    # What words have in common is tried once at each place, and not once for each of them.
    alike = groupby(words, lambda word: (_edge(word, 0), _edge(word, -1)))
    return re.compile(
        "|".join(f"{start}(?:{'|'.join(map(re.escape, each))}){end}" for (start, end), each in alike)
    )


def slot_vocabulary(
    display_name: str, hints: tuple[str, ...], values: Mapping[str, tuple[str, ...]]
) -> SlotVocabulary:
    """The phrases of one slot.

    Args:
        display_name: Its name in words.
        hints: Other words for it; also the units that it counts.
        values: For an enum, each value and its synonyms.
    """
    last = display_name.rsplit(" ", 1)[-1]
    name = phrase_pattern([display_name, last, *hints])
    meaning = {
        normalize(word): value
        for value, words in values.items()
        for word in (*words, value.replace("_", " "), value)
    }
    plurals = {
        f"{word}{end}": value
        for word, value in meaning.items()
        for end in ("s", "es")
        if word[-1:].isascii() and word[-1:].isalpha()
    }
    meaning = {**plurals, **meaning}
    counted = phrase_pattern(hints)
    return SlotVocabulary(
        name_pattern=name or re.compile(r"(?!)"),
        value_pattern=phrase_pattern(meaning),
        value_by_phrase=meaning,
        unit_pattern=re.compile(rf"\s*(?:of )?(?:{counted.pattern})") if counted else None,
    )


def _edge(word: str, index: int) -> str:
    """A word boundary; empty in scripts that do not put spaces between words, such as Chinese."""
    char = word[index]
    if not (char.isalnum() and char.isascii()) and not char.isalpha():
        return ""
    if "\u2e80" <= char <= "\u9fff":
        return ""
    return r"(?<!\w)" if index == 0 else r"(?!\w)"
