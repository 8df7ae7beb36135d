"""The grammar of lists in one language: "Ann, Bob and Carol", "also Dave", "without Bob", "that's all"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS
from clawdbot_dialogue.core.language.traditional_chinese import TO_SIMPLIFIED

_MAX_CHANGE_WORDS = 12
"""Words of a request to change an item ("make the soup a cake"). Every way to split them in two is tried."""


@dataclass(frozen=True, slots=True)
class ListGrammar:
    """Patterns and joiners of lists. Methods take normalized text unless they say otherwise."""

    prefix: re.Pattern[str]
    """Words before the first item, in simplified characters."""
    suffix: re.Pattern[str]
    """Words after the last item."""
    separator: re.Pattern[str]
    addition: re.Pattern[str]
    removal: re.Pattern[str]
    completion: re.Pattern[str]
    item_change: re.Pattern[str]
    """A request to change an item. Groups: `which` and `into`, or `both` where no word separates the two."""
    last_item: re.Pattern[str]
    """A `which` that means the last item: "it"."""
    all_items: re.Pattern[str]
    """A `which` that means every item: "both"."""
    joiner: str
    last_joiner: str
    """Goes before the last item: " and "."""

    def split_items(self, text: str) -> list[str]:
        """The items that a text, as written, lists."""
        body = text.strip(_PUNCTUATION)
        if len(body) <= MAX_READ_CHARS:
            # Simplifying keeps every position, so a match in one text can be cut from the other.
            lead = self.prefix.match(body.translate(TO_SIMPLIFIED))
            body = body[lead.end() :] if lead else body
            tail = self.suffix.search(body.translate(TO_SIMPLIFIED))
            body = body[: tail.start()] if tail else body
        return [each for each in [part.strip(_PUNCTUATION) for part in self.separator.split(body)] if each]

    def is_addition(self, text: str) -> bool:
        """Whether the message adds to a list: "also Dave"."""
        return bool(self.addition.search(text))

    def is_removal(self, text: str) -> bool:
        """Whether the message removes something from a list: "without Bob"."""
        return bool(self.removal.match(text))

    def item_changes(self, text: str) -> list[tuple[str, str]]:
        """Which item the message changes, and into what: every possible reading, likeliest first."""
        found = self.item_change.match(text)
        if found is None:
            return []
        if found["which"]:
            return [(found["which"], found["into"])]
        words = found["both"].split(" ")[:_MAX_CHANGE_WORDS]
        return [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]

    def is_complete(self, text: str) -> bool:
        """Whether the message says that the list is complete: "that's all"."""
        return bool(self.completion.match(text))

    def format_list(self, shown: Sequence[str]) -> str:
        """The items as one phrase: "Ann, Bob and Carol"."""
        *before, last = shown or ("",)
        return f"{self.joiner.join(before)}{self.last_joiner}{last}" if before else last


_PUNCTUATION = " \t\n,.!，。！“”「」"
