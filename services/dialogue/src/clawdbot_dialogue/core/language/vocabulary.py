"""The words of one flow, compiled once: what its slots, values and triggers are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.language.normalization import fold
from clawdbot_dialogue.core.language.span import Found


@dataclass(frozen=True, slots=True)
class Words:
    """How one slot is spoken of."""

    name: re.Pattern[str]
    """The slot itself: its name as said, and its hints."""
    values: re.Pattern[str] | None
    """For an enum: whatever stands for one of its values."""
    meaning: Mapping[str, str]
    """For an enum: folded words → value; "colas" as well as "cola"."""
    counted: re.Pattern[str] | None
    """Whether the text after a number says that it counts this slot's things: "people"."""

    def counts(self, after: str) -> bool:
        """Whether the text after a number says that it counts this slot's things."""
        return bool(self.counted and self.counted.search(after))

    def counts_any(self, things: Iterable[str]) -> bool:
        """Whether some of these are what it counts."""
        return any(self.counts(each) for each in things)

    def values_in(self, text: str) -> list[Found[str]]:
        """The enum's values that the text names, in order."""
        found = self.values.finditer(text) if self.values else ()
        return [Found(*each.span(), self.meaning[each[0]]) for each in found]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one flow."""

    slots: Mapping[str, Words]
    """By what can be asked for: slots, and parts of slots."""
    triggers: re.Pattern[str] | None
    """What a person says to start the flow."""

    def triggered_by(self, text: str) -> int:
        """How many characters of a folded text are one of the triggers; 0 for none."""
        if self.triggers is None or not self.triggers.search(text):
            return 0
        return max((len(found[0]) for found in self.triggers.finditer(text)), default=0)


def any_of(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Matches each of the phrases as whole words, the longest first; None for no phrase."""
    words = sorted({fold(each) for each in phrases} - {""}, key=len, reverse=True)
    if not words:
        return None
    return re.compile("|".join(f"{_edge(each, 0)}{re.escape(each)}{_edge(each, -1)}" for each in words))


def slot_words(spoken: str, hints: tuple[str, ...], values: Mapping[str, tuple[str, ...]]) -> Words:
    """The words of one slot.

    Args:
        spoken: Its name as said.
        hints: Other words for it.
        values: For an enum, each value and how else it is said.
    """
    last = spoken.rsplit(" ", 1)[-1]
    name = any_of([spoken, last, *hints])
    meaning = {
        fold(word): value
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
    counted = any_of(hints)
    return Words(
        name=name or re.compile(r"(?!)"),
        values=any_of(meaning),
        meaning=meaning,
        counted=re.compile(rf"^\s*(?:of )?(?:{counted.pattern})") if counted else None,
    )


def _edge(word: str, index: int) -> str:
    """Nothing where words stand without spaces, as in Chinese; else the word's edge."""
    char = word[index]
    if not (char.isalnum() and char.isascii()) and not char.isalpha():
        return ""
    if "\u2e80" <= char <= "\u9fff":
        return ""
    return r"(?<!\w)" if index == 0 else r"(?!\w)"
