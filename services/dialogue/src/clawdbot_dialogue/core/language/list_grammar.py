"""How one language lists things: "Ann, Bob and Carol", "also Dave", "without Bob", "that's all"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.language.normalization import LONGEST_READ
from clawdbot_dialogue.core.language.traditional_chinese import SIMPLER

_LONGEST_CHANGE = 12
"""Words."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Patterns, and what stands between items that are shown. Texts are folded, unless it says else."""

    lead: re.Pattern[str]
    """What is said before the first item, in simplified characters."""
    tail: re.Pattern[str]
    """And after the last."""
    between: re.Pattern[str]
    added: re.Pattern[str]
    dropped: re.Pattern[str]
    no_more: re.Pattern[str]
    changed: re.Pattern[str]
    """A wish to change an item: `which` and `into`, or `both` where nothing stands between the two."""
    last_item: re.Pattern[str]
    """As a whole `which`: the item that was named last."""
    all_items: re.Pattern[str]
    comma: str
    last: str

    def items(self, text: str) -> list[str]:
        """What a text, as written, lists."""
        body = text.strip(_MARKS)
        if len(body) <= LONGEST_READ:
            # Simplifying keeps every position, so what is found in one text is cut from the other.
            lead = self.lead.match(body.translate(SIMPLER))
            body = body[lead.end() :] if lead else body
            tail = self.tail.search(body.translate(SIMPLER))
            body = body[: tail.start()] if tail else body
        return [each for each in [part.strip(_MARKS) for part in self.between.split(body)] if each]

    def adds(self, text: str) -> bool:
        """Whether the message adds to a list: "also Dave"."""
        return bool(self.added.search(text))

    def drops(self, text: str) -> bool:
        """Whether the message takes something off a list: "without Bob"."""
        return bool(self.dropped.match(text))

    def changes(self, text: str) -> list[tuple[str, str]]:
        """What item the message changes, and into what: each way to read it, likeliest first."""
        found = self.changed.match(text)
        if found is None:
            return []
        if found["which"]:
            return [(found["which"], found["into"])]
        words = found["both"].split(" ")[:_LONGEST_CHANGE]
        return [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]

    def enough(self, text: str) -> bool:
        """Whether the message says that nothing more is to be listed: "that's all"."""
        return bool(self.no_more.match(text))

    def listed(self, shown: Sequence[str]) -> str:
        """A list as a person says it: "Ann, Bob and Carol"."""
        *before, last = shown or ("",)
        return f"{self.comma.join(before)}{self.last}{last}" if before else last


_MARKS = " \t\n,.!，。！“”「」"
