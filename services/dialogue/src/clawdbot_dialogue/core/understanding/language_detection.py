"""In which of a flow's languages a person speaks, by the letters of the message.

Changing the language on a name or a single "ok" would be worse than not changing it, so only a message that
is clearly in another one counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.normalization import fold

_NO_WORDS = re.compile(r"\S+@\S+|https?://\S+|\b[a-z]*\d\w*|\b(?:am|pm|vip)\b", re.ASCII)
"""Addresses, times and references are the same in every language."""
_LETTERS: Mapping[str, re.Pattern[str]] = {
    "han": re.compile(r"[\u3400-\u9fff]"),
    "latin": re.compile(r"[a-z\u00df-\u024f](?:['-]?[a-z\u00df-\u024f])+"),
}
"""Script → what counts as one: a character of Chinese, a word of others."""
_CLEARLY = 3
"""How many times as many there must be of one script as of another in a message that has both."""
_SHORT = 2
"""Characters or words of a message that is nothing but yes or no."""
_NAME = 4
"""Characters or words of an answer that may be nothing but a name."""


def plain(flow: Flow, text: str) -> bool:
    """Whether nothing in a message can be of another script than the flow's own language."""
    return flow.locale.script == "latin" and text.isascii()


def heard_in(flow: Flow, current: str, text: str, asked: Slot | None) -> str:
    """The language that the conversation goes on in.

    Args:
        flow: The running flow, in any of its languages.
        current: The conversation's language.
        text: The message as written.
        asked: The slot that was asked for, if one was.
    """
    speaks = flow.spoken(current).locale
    folded = fold(text)
    words = _NO_WORDS.sub(" ", folded)
    counts = {script: len(letters.findall(words)) for script, letters in _LETTERS.items()}
    script = max(counts, key=lambda each: counts[each])
    others = sum(counts.values()) - counts[script]
    if counts[script] < max(1, _CLEARLY * others):
        return current
    if speaks.script == script:
        return current
    to = next((name for name in flow.locales if flow.spoken(name).locale.script == script), current)
    # "ok" and "bye" are said in Chinese too.
    short = counts[script] <= _SHORT and speaks.yes_no(folded) is not None
    if to == current or short or speaks.set_phrase(folded):
        return current
    may_be_name = asked is not None and asked.names_person and counts[script] <= _NAME
    return current if may_be_name and not flow.spoken(to).locale.set_phrase(folded) else to
