"""Decides where the replies of a backend's models contain reasoning in tags.

The templates of some models end in <think>, so that their replies begin inside a thought and only </think> is
in them. What says so, in this order: the configuration, the model's last replies, the server (its template),
and the model's name.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

from clawdbot_model_gateway.formats.vendor_profile import ThinkTags

MAX_LEARNED: Final = 1000
"""Models that something is remembered about: a caller may ask for any name."""
EVIDENCE: Final = 3
"""Replies in succession that must end a thought which the prompt began, before the next one is taken to be
inside of one from its start: a single one may be about the tag."""

ALWAYS_OPEN: Final = re.compile(
    r"deepseek[-_.]?r1|\br1[-_](distill|0528)|\bqwq\b|(qwen|ernie)[^/]*[-_]thinking", re.IGNORECASE
)
"""In the names of models whose own template ends in <think>, whatever the request."""

_JINJA_ENDS_IN_TAG: Final = re.compile(r"<think>(?:\\n|\s)*['\"]")
_GO_ENDS_IN_TAG: Final = re.compile(r"<think>\s*(?:\{\{-?\s*end\s*-?\}\}\s*)*\Z")
_GENERATION_PROMPT: Final = "add_generation_prompt"
_OFF_BY_DEFAULT: Final = "not thinking"
"""In DeepSeek V3.1's template, which thinks only if it is told to."""


T = TypeVar("T")


class ThinkTagModes:
    """Where the replies of one backend's models contain reasoning."""

    def __init__(self, configured: ThinkTags, *, by_name: bool = False) -> None:
        """What is known at the start.

        Args:
            configured: "auto" leaves it to the rest of what is known.
            by_name: whether models' names decide: not where a vendor takes the reasoning out.
        """
        self._configured = configured
        self._by_name = by_name
        self._told: dict[str, ThinkTags] = {}
        """By the server, about single models."""
        self._learned: dict[str, ThinkTags] = {}
        """From replies."""
        self._evidence: dict[str, int] = {}
        """Replies in succession that ended a thought which they had not begun."""
        self._server: ThinkTags | None = None

    @property
    def is_auto(self) -> bool:
        """Whether anything may be learned."""
        return self._configured == "auto"

    def of(self, model: str) -> ThinkTags:
        """The mode for a reply of this model."""
        if not self.is_auto:
            return self._configured
        named: ThinkTags = "open" if self._by_name and ALWAYS_OPEN.search(model) else "auto"
        return self._learned.get(model) or self._told.get(model) or self._server or named

    def is_guess(self, model: str) -> bool:
        """Whether only replies say that the next one begins inside a thought."""
        return self._learned.get(model) == "open"

    def learn(self, model: str, found: ThinkTags | None) -> None:
        """Remembers what a model's reply says about its next ones; None: nothing."""
        count = self._evidence.pop(model, 0) + 1
        if found == "open" and count < EVIDENCE:
            _remember(self._evidence, model, count)
        elif found is not None:
            _remember(self._learned, model, found)

    def suggest(self, model: str, mode: ThinkTags) -> None:
        """Remembers what the server says about a model; its replies may say otherwise."""
        if mode == "open":
            _remember(self._told, model, mode)

    def suggest_name(self, model: str, name: str) -> None:
        """Remembers another name of a model, which may say more."""
        if ALWAYS_OPEN.search(name):
            self.suggest(model, "open")

    def suggest_for_all(self, mode: ThinkTags) -> None:
        """Remembers what a server of one model says, whatever callers call it."""
        self._server = mode


def _remember(values: dict[str, T], model: str, value: T) -> None:
    if len(values) >= MAX_LEARNED:
        values.clear()
    values[model] = value


def jinja_opens_thought(template: str) -> bool:
    """Whether the prompt of a Jinja template ends in <think>, as llama.cpp reports it."""
    _, found, end = template.rpartition(_GENERATION_PROMPT)
    return bool(found) and _OFF_BY_DEFAULT not in end and _JINJA_ENDS_IN_TAG.search(end) is not None


def go_opens_thought(template: str) -> bool:
    """Whether the prompt of a Go template ends in <think>, as Ollama reports it."""
    return _GO_ENDS_IN_TAG.search(template) is not None
