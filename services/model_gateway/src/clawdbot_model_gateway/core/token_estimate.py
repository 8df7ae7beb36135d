"""How many tokens a text is, where nobody has counted: a figure by script, and how wrong it may be.

What is estimated is always marked so. It looks at the lead bytes of UTF-8, which tell the scripts apart, at a
few milliseconds a megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_ESTIMATED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

MESSAGE_OVERHEAD: Final = 4
"""Tokens of a chat template's framing around each message."""
MEDIA_TOKENS: Final = 300
"""Tokens of an image, sound or document: the order of magnitude of a small picture."""


@dataclass(frozen=True, slots=True)
class Script:
    """Characters that cost about the same."""

    per_character: float
    """Tokens, half-way between the vocabularies that need the least and the most."""
    bound: float
    """Largest share by which a vocabulary differs from that."""


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
"""Fitted by least squares to texts in fourteen kinds and the vocabularies cl100k, o200k, Qwen, DeepSeek and
Claude 2; tests/unit/model_gateway/test_estimate.py measures it against those that can be had there. Greek,
Arabic, Hebrew, Thai and the scripts of India are "other": vocabularies differ most about them."""

UNBROKEN: Final = 12
"""Letters for each space or mark above which they are no words: keys, hashes, base64."""
NO_WORDS: Final = Script(0.5, 0.9)
"""What letters are then."""
SLACK: Final = 2
"""Tokens by which any text may differ: a short text has no average."""

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
"""Script → lead bytes; what is left of ASCII are marks. 0xEF has the wide forms of CJK punctuation."""
_NUMBERS: Final = {name: number for number, name in enumerate(SCRIPTS)}
_KIND_OF: Final = bytes(
    next((_NUMBERS[name] for name, leads in _LEADS.items() if byte in leads), _NUMBERS["marks"])
    for byte in range(256)
)
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of a text, and how far off that may be."""

    tokens: float = 0.0
    uncertain: float = 0.0
    """Tokens by which the true count may differ, either way."""


def estimate_of(text: str) -> Estimate:
    """The estimate for a text as people and programs write it; SLACK is not in it."""
    kinds = text.encode("utf-8", "surrogatepass").translate(_KIND_OF, _CONTINUATIONS)
    counts = {name: kinds.count(number) for name, number in _NUMBERS.items()}
    tokens = uncertain = 0.0
    for name, count in counts.items():
        script = SCRIPTS[name]
        if name == "letters" and count > UNBROKEN * (counts["space"] + counts["marks"] + 1):
            script = NO_WORDS
        tokens += count * script.per_character
        uncertain += count * script.per_character * script.bound
    return Estimate(tokens, uncertain)


class TokenEstimate:
    """Takes pieces of text as they come; how the text was cut makes no difference."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        """Takes one piece. Nothing is counted yet: most replies are counted by their backend."""
        self._pieces.append(text)

    @property
    def tokens(self) -> int:
        """The estimate; 0 for no text, at least 1 for any."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return math.ceil(estimate_of(self._pieces[0]).tokens) if self._pieces else 0


def tokens_of(text: str) -> int:
    """An estimate of the tokens in a text."""
    return math.ceil(estimate_of(text).tokens)


def estimated_usage(request: GenerateRequest, output_tokens: int) -> Usage:
    """What a reply of so many tokens to this request cost, as far as can be guessed."""
    prompt = sum(MESSAGE_OVERHEAD + _message_tokens(message) for message in request.messages)
    prompt += sum(tokens_of(tool.description) + tool.input_schema.ByteSize() // 4 for tool in request.tools)
    return Usage(
        input_tokens=prompt,
        output_tokens=output_tokens,
        provenance=USAGE_PROVENANCE_ESTIMATED,
    )


def _message_tokens(message: Message) -> int:
    total = 0
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            total += tokens_of(part.text)
        elif kind == "reasoning":
            total += tokens_of(part.reasoning.text)
        elif kind in {"image", "audio", "document"}:
            total += MEDIA_TOKENS
        else:
            # A tool call or its result: its encoded length is near its text's.
            total += part.ByteSize() // 4
    return total
