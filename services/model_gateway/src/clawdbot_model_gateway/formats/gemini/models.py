"""Derives what a Gemini model can do from its name, and decodes the API's list of models.

The API has no field for most of it. A model with an unknown name is assumed not to think, unless the
configuration says otherwise.
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
from clawdbot_model_gateway.formats.vendor_json import count_in

Thinking = Literal["level", "budget", "none"]
"""How requests set the length of thinking: by level (from Gemini 3 on), by tokens (2.5), or not at all."""

THINKING_LEVELS: Final[Mapping[int, str | int]] = {
    REASONING_EFFORT_LOW: "LOW",
    REASONING_EFFORT_MEDIUM: "MEDIUM",
    REASONING_EFFORT_HIGH: "HIGH",
}
THINKING_BUDGETS: Final[Mapping[int, str | int]] = {
    REASONING_EFFORT_NONE: 0,
    REASONING_EFFORT_LOW: 1024,
    REASONING_EFFORT_MEDIUM: 8192,
    REASONING_EFFORT_HIGH: 24576,
}
"""Tokens, as Google's own Chat Completions endpoint translates its `reasoning_effort`."""
MIN_PRO_BUDGET: Final = 128
"""Tokens. Gemini 2.5 Pro thinks at least this much; its thinking cannot be turned off."""

NO_PENALTIES_FROM: Final = 2.5
"""The generation from which on models refuse penalties: "Penalty is not enabled for models/…"."""

_GENERATION: Final = re.compile(r"gemini-(\d+(?:\.\d+)?)\b")
_LATEST: Final = re.compile(r"gemini-[a-z-]+-latest\b")
_NON_THINKING: Final = re.compile(r"image|tts|live|audio|embedding|computer-use")
"""In the names of models that do not think, whatever their generation."""
_NON_CHAT: Final = re.compile(
    r"embed|image|imagen|veo|lyria|tts|live|audio|aqa|robotics|computer-use|research|banana", re.IGNORECASE
)
"""In the names of models that do not chat, or do something else as well."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What one model can do."""

    thinking: Thinking
    """How a request sets the length of thinking."""
    min_thinking: str | int
    """The lowest level or budget."""
    thinks_by_default: bool
    """Whether it thinks without being asked to. If not, asking for its thoughts is refused as well."""
    takes_penalties: bool
    """Whether it takes penalties for words that it repeats."""
    gemini_3: bool
    """Gemini 3 or later: takes JSON formats together with tools and media in tool results, and requires the
    thought signature of each call to come back."""

    def thinking_config(self, effort: int) -> tuple[dict[str, Any], bool]:
        """The fields of thinkingConfig for an effort, and whether they are exactly what was asked for."""
        if self.thinking == "none" or not effort:
            return {}, not effort
        field = "thinkingLevel" if self.thinking == "level" else "thinkingBudget"
        values = THINKING_LEVELS if self.thinking == "level" else THINKING_BUDGETS
        if effort == REASONING_EFFORT_NONE:
            return {field: self.min_thinking}, self.min_thinking == 0
        return ({field: values[effort]}, True) if effort in values else ({}, False)


def profile_of(model: str, thinking: Thinking | None = None) -> ModelProfile:
    """The profile of the model with this name.

    Args:
        model: with or without "models/".
        thinking: overrides what is derived from the name; None: no override.
    """
    version = _GENERATION.search(model)
    generation = float(version[1]) if version else (3.0 if _LATEST.search(model) else 0.0)
    pro = "pro" in model and "flash" not in model
    if thinking is None:
        no_thinking = generation < 2.5 or _NON_THINKING.search(model) is not None
        thinking = "none" if no_thinking else "level" if generation >= 3 else "budget"
    minimum: str | int = (
        ("LOW" if pro else "MINIMAL") if thinking == "level" else MIN_PRO_BUDGET if pro else 0
    )
    thinks_by_default = not (thinking == "budget" and "lite" in model)
    return ModelProfile(
        thinking,
        minimum,
        thinks_by_default=thinks_by_default,
        takes_penalties=generation < NO_PENALTIES_FROM,
        gemini_3=generation >= 3,
    )


def resource_path(model: str) -> str:
    """The model as a path below the endpoint: "models/gemini-3-flash", "tunedModels/mine"."""
    return model if "/" in model else f"models/{model}"


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the API lists it."""

    model: VendorModel
    chats: bool
    max_tokens: int
    """What it can output; 0 if not known."""


def decode_models(models: Any) -> Iterator[ListedModel]:
    """The models of one page.

    Raises:
        KeyError, TypeError: it is not a list of models.
    """
    for model in models:
        name = str(model["name"]).removeprefix("models/")
        methods = model.get("supportedGenerationMethods")
        generates = not isinstance(methods, list) or "generateContent" in methods
        yield ListedModel(
            VendorModel(name, count_in(model, "inputTokenLimit")),
            chats=generates and not _NON_CHAT.search(name),
            max_tokens=count_in(model, "outputTokenLimit"),
        )
