"""What a reply costs: a price for each kind of token, in whole numbers, so that sums are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from clawdbot.common.v1.usage_pb2 import Usage

PER_MICRO: Final = 1_000_000
"""Units of a price in one millionth of a dollar."""
ANY_MODEL: Final = "*"
"""In the prices of a backend: all models that are not named."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model: millionths of a millionth of a dollar per token."""

    input: int = 0
    cached: int = 0
    """Of input tokens that were read from the vendor's cache."""
    cache_write: int = 0
    """Of input tokens that were written to it."""
    output: int = 0
    reasoning: int = 0
    """Of output tokens that were spent on reasoning."""
    audio: int | None = None
    """Of audio tokens; None: as other tokens of their direction."""

    def cost(self, usage: Usage) -> int:
        """Millionths of a dollar, rounded up, so that nothing that was spent counts as nothing.

        Usage does not say which audio tokens were input: as many as can be are taken as such.
        """
        cached, written = usage.cached_tokens, usage.cache_write_tokens
        plain_input = max(0, usage.input_tokens - cached - written)
        plain_output = max(0, usage.output_tokens - usage.reasoning_tokens)
        total = cached * self.cached + written * self.cache_write + usage.reasoning_tokens * self.reasoning
        if self.audio is not None and usage.audio_tokens:
            heard = min(usage.audio_tokens, plain_input)
            plain_input -= heard
            plain_output = max(0, plain_output - (usage.audio_tokens - heard))
            total += usage.audio_tokens * self.audio
        total += plain_input * self.input + plain_output * self.output
        return -(-total // PER_MICRO)


Prices: TypeAlias = Mapping[str, Price]
"""The prices of a backend, by the vendor's name of the model, or ANY_MODEL."""


def price_of(prices: Prices, model: str) -> Price | None:
    """The price of a model; None where none is configured."""
    return prices.get(model) or prices.get(ANY_MODEL)
