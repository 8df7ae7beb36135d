"""Detects which of a flow's languages a message is in, by its script.

Switching the language because of a name or a single "ok" would be worse than not switching, so only a message
that is clearly in another language counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.normalization import normalize

_LANGUAGE_NEUTRAL = re.compile(r"\S+@\S+|https?://\S+|\b[a-z]*\d\w*|\b(?:am|pm|vip)\b", re.ASCII)
"""Addresses, times and references, which look the same in every language."""
_LETTERS: Mapping[str, re.Pattern[str]] = {
    "han": re.compile(r"[\u3400-\u9fff]"),
    "latin": re.compile(r"[a-z\u00df-\u024f](?:['-]?[a-z\u00df-\u024f])+"),
}
"""Script → the unit that is counted: characters in Chinese, words in other scripts."""
_MIN_RATIO = 3
"""In a message with several scripts: how many times as many units one must have as the others."""
_MAX_YES_NO_LENGTH = 2
"""Units of a message that is nothing but a yes or no."""
_MAX_NAME_LENGTH = 4
"""Units of an answer that may be nothing but a name."""


def is_own_script(flow: Flow, text: str) -> bool:
    """Whether the message is certainly in the script of the flow's current language."""
    return flow.locale.script == "latin" and text.isascii()


def detect_language(flow: Flow, current: str, text: str, asked: Slot | None) -> str:
    """The language that the conversation continues in.

    Args:
        flow: The running flow, in any of its languages.
        current: The conversation's language.
        text: The message as written.
        asked: The slot that was asked for, if any.
    """
    language = flow.in_language(current).locale
    normalized = normalize(text)
    words = _LANGUAGE_NEUTRAL.sub(" ", normalized)
    counts = {script: len(letters.findall(words)) for script, letters in _LETTERS.items()}
    script = max(counts, key=lambda each: counts[each])
    others = sum(counts.values()) - counts[script]
    if counts[script] < max(1, _MIN_RATIO * others):
        return current
    if language.script == script:
        return current
    to = next((name for name in flow.locales if flow.in_language(name).locale.script == script), current)
    # "ok" and "bye" are used in Chinese too.
    short = counts[script] <= _MAX_YES_NO_LENGTH and language.yes_no(normalized) is not None
    if to == current or short or language.set_phrase(normalized):
        return current
    may_be_name = asked is not None and asked.is_person_name and counts[script] <= _MAX_NAME_LENGTH
    return current if may_be_name and not flow.in_language(to).locale.set_phrase(normalized) else to
