"""Estimates the tokens of a text from its characters' scripts, with an error bound.

Estimates are always marked as such. The script of a character is read off its lead byte in UTF-8, which takes
a few milliseconds per megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_ESTIMATED,
    USAGE_PROVENANCE_PARTIAL,
    USAGE_PROVENANCE_REPORTED,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

MESSAGE_OVERHEAD: Final = 4
"""Tokens that a chat template adds around each message."""
MEDIA_TOKENS: Final = 300
"""Tokens of an image, audio clip or document: the order of magnitude of a small image."""


@dataclass(frozen=True, slots=True)
class Script:
    """A class of characters that need about the same number of tokens."""

    per_character: float
    """Tokens per character, half-way between the vocabularies that need the fewest and the most."""
    bound: float
    """Largest relative deviation of a vocabulary from that."""


SCRIPTS: Final[Mapping[str, Script]] = {
    "letters": Script(0.195, 0.25),
    "space": Script(0.22, 0.25),
    "digits": Script(0.82, 0.45),
    "marks": Script(0.64, 0.30),
    "accented": Script(1.95, 0.50),
    "cyrillic": Script(0.455, 0.40),
    "other": Script(0.90, 0.65),
    "cjk": Script(0.90, 0.42),
    "hangul": Script(1.07, 0.38),
    "symbols": Script(2.0, 0.40),
    "emoji": Script(2.0, 0.40),
}
"""Fitted by least squares to fourteen kinds of text and the vocabularies cl100k, o200k, Qwen, DeepSeek and
Claude 2; tests/unit/model_gateway/test_token_estimate.py measures it against those that are available there.
Greek, Arabic, Hebrew, Thai and the scripts of India are "other": vocabularies differ most for them."""

MAX_LETTERS_PER_BREAK: Final = 12
"""Letters per space or punctuation mark; with more, the letters are not words but keys, hashes or base64."""
RANDOM_LETTERS: Final = Script(0.5, 0.9)
"""The figures for such letters."""
MIN_UNCERTAINTY: Final = 2
"""Tokens that are added to the uncertainty of any text: a short text does not average out."""

_LEADS: Final[Mapping[str, Iterable[int]]] = {
    "letters": (*range(0x41, 0x5B), *range(0x61, 0x7B)),
    "space": (*range(0x09, 0x0E), 0x20),
    "digits": range(0x30, 0x3A),
    "accented": range(0xC2, 0xCA),
    "cyrillic": range(0xD0, 0xD4),
    "other": (*range(0xCA, 0xD0), *range(0xD4, 0xE2)),
    "symbols": (0xE2,),
    "cjk": (*range(0xE3, 0xEA), 0xEF),
    "hangul": range(0xEA, 0xEF),
    "emoji": range(0xF0, 0xF5),
}
"""Script → lead bytes; the rest of ASCII are marks. 0xEF contains the wide forms of CJK punctuation."""
_NUMBERS: Final = {name: number for number, name in enumerate(SCRIPTS)}
_KIND_OF: Final = bytes(
    next((_NUMBERS[name] for name, leads in _LEADS.items() if byte in leads), _NUMBERS["marks"])
    for byte in range(256)
)
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated tokens of a text, with their uncertainty."""

    tokens: float = 0.0
    uncertainty: float = 0.0
    """Tokens by which the true count may differ in either direction."""


def estimate_text(text: str) -> Estimate:
    """The estimate for a text as people and programs write it, without MIN_UNCERTAINTY."""
    kinds = text.encode("utf-8", "surrogatepass").translate(_KIND_OF, _CONTINUATIONS)
    counts = {name: kinds.count(number) for name, number in _NUMBERS.items()}
    tokens = uncertain = 0.0
    for name, count in counts.items():
        script = SCRIPTS[name]
        if name == "letters" and count > MAX_LETTERS_PER_BREAK * (counts["space"] + counts["marks"] + 1):
            script = RANDOM_LETTERS
        tokens += count * script.per_character
        uncertain += count * script.per_character * script.bound
    return Estimate(tokens, uncertain)


class TokenEstimator:
    """Estimates a text that arrives in pieces; the result does not depend on how it was split."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        """Adds one piece. The estimate is deferred: most backends report the count of their replies."""
        self._pieces.append(text)

    @property
    def tokens(self) -> int:
        """The estimate; 0 for an empty text, at least 1 for any other."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return math.ceil(estimate_text(self._pieces[0]).tokens) if self._pieces else 0


def estimate_tokens(text: str) -> int:
    """The estimated tokens of a text, rounded up."""
    return math.ceil(estimate_text(text).tokens)


def estimate_input(request: GenerateRequest) -> int:
    """The estimated tokens of a request's messages and tools."""
    prompt = sum(MESSAGE_OVERHEAD + _message_tokens(message) for message in request.messages)
    return prompt + sum(
        estimate_tokens(tool.description) + tool.input_schema.ByteSize() // 4 for tool in request.tools
    )


def estimate_usage(request: GenerateRequest, output_tokens: int) -> Usage:
    """The estimated usage of a request whose reply has this many tokens."""
    return Usage(
        input_tokens=estimate_input(request),
        output_tokens=output_tokens,
        provenance=USAGE_PROVENANCE_ESTIMATED,
    )


def with_estimates(reported: Usage, input_tokens: Callable[[], int], output: TokenEstimator) -> Usage:
    """What a backend has reported, with estimates in place of counts that are missing: it is PARTIAL then.

    No request has no tokens, and no text has none: such a count is one that the backend left out, or
    something else than a number.

    Args:
        reported: by the backend.
        input_tokens: estimates them; called only if they are missing.
        output: the text of the reply.
    """
    output_tokens = reported.output_tokens or output.tokens
    if reported.input_tokens and reported.output_tokens == output_tokens:
        return reported
    usage = Usage()
    usage.CopyFrom(reported)
    if not usage.input_tokens:
        cached = usage.cached_tokens + usage.cache_write_tokens
        usage.input_tokens = max(input_tokens(), cached)
    usage.output_tokens = output_tokens
    if usage.provenance == USAGE_PROVENANCE_REPORTED:
        usage.provenance = USAGE_PROVENANCE_PARTIAL
    return usage


def _message_tokens(message: Message) -> int:
    total = 0
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            total += estimate_tokens(part.text)
        elif kind == "reasoning":
            total += estimate_tokens(part.reasoning.text)
        elif kind in {"image", "audio", "document"}:
            total += MEDIA_TOKENS
        else:
            # A tool call or its result: the encoded length is close to the length of its text.
            total += part.ByteSize() // 4
    return total
