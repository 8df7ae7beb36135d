"""What a Gemini model can do, as far as its name tells, and the list of models as the API gives it.

The API has no field for most of it. A name that tells nothing is taken for a model without thoughts, unless
the configuration says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_LOW,
    REASONING_EFFORT_MEDIUM,
    REASONING_EFFORT_NONE,
)

from clawdbot_model_gateway.core.provider import VendorModel

Thinking = Literal["level", "budget", "none"]
"""How a model is told how long to think: by a word (from Gemini 3 on), by tokens (2.5), or not at all."""

LEVELS: Final[Mapping[int, str | int]] = {
    REASONING_EFFORT_LOW: "LOW",
    REASONING_EFFORT_MEDIUM: "MEDIUM",
    REASONING_EFFORT_HIGH: "HIGH",
}
BUDGETS: Final[Mapping[int, str | int]] = {
    REASONING_EFFORT_NONE: 0,
    REASONING_EFFORT_LOW: 1024,
    REASONING_EFFORT_MEDIUM: 8192,
    REASONING_EFFORT_HIGH: 24576,
}
"""Tokens, as Google's own Chat Completions endpoint translates its `reasoning_effort`."""
LEAST_OF_PRO: Final = 128
"""Tokens that Gemini 2.5 Pro thinks at least; it cannot be kept from it."""

_GENERATION: Final = re.compile(r"gemini-(\d+(?:\.\d+)?)\b")
_LATEST: Final = re.compile(r"gemini-[a-z-]+-latest\b")
_SILENT: Final = re.compile(r"image|tts|live|audio|embedding|computer-use")
"""In the names of models that do not think, whatever their generation."""
_OTHERWISE: Final = re.compile(
    r"embed|image|imagen|veo|lyria|tts|live|audio|aqa|robotics|computer-use|research|banana", re.IGNORECASE
)
"""In the names of models that do not chat, or do something else besides."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What one model can do."""

    thinking: Thinking
    """How to tell it how long to think."""
    least: str | int
    """The least it can think: a level or a budget."""
    unasked: bool
    """Whether it thinks without being told to; where it does not, thoughts may not be asked for either."""
    modern: bool
    """Gemini 3 or later: takes JSON formats beside tools, media in a tool's result, and wants the proof of
    each call back."""

    def thought(self, effort: int) -> tuple[dict[str, Any], bool]:
        """The fields of thinkingConfig for an effort, and whether it is what was asked for."""
        if self.thinking == "none" or not effort:
            return {}, not effort
        field = "thinkingLevel" if self.thinking == "level" else "thinkingBudget"
        known = LEVELS if self.thinking == "level" else BUDGETS
        if effort == REASONING_EFFORT_NONE:
            return {field: self.least}, self.least == 0
        return ({field: known[effort]}, True) if effort in known else ({}, False)


def traits_of(model: str, thinking: Thinking | None = None) -> Traits:
    """What the model of this name can do.

    Args:
        model: with or without "models/".
        thinking: how it is told to think, where the configuration knows better than the name.
    """
    found = _GENERATION.search(model)
    generation = float(found[1]) if found else (3.0 if _LATEST.search(model) else 0.0)
    pro = "pro" in model and "flash" not in model
    if thinking is None:
        silent = generation < 2.5 or _SILENT.search(model) is not None
        thinking = "none" if silent else "level" if generation >= 3 else "budget"
    least: str | int = ("LOW" if pro else "MINIMAL") if thinking == "level" else LEAST_OF_PRO if pro else 0
    unasked = not (thinking == "budget" and "lite" in model)
    return Traits(thinking, least, unasked=unasked, modern=generation >= 3)


def resource(model: str) -> str:
    """The model as a path below the endpoint: "models/gemini-3-flash", "tunedModels/mine"."""
    return model if "/" in model else f"models/{model}"


def listed(models: Any) -> Iterator[tuple[VendorModel, bool]]:
    """The models of one page, and for each whether it chats.

    Raises:
        KeyError, TypeError: it is no list of models.
    """
    for each in models:
        name = str(each["name"]).removeprefix("models/")
        methods = each.get("supportedGenerationMethods")
        chats = (not isinstance(methods, list) or "generateContent" in methods) and not _OTHERWISE.search(
            name
        )
        limit = each.get("inputTokenLimit")
        yield VendorModel(name, limit if isinstance(limit, int) and limit > 0 else 0), chats
