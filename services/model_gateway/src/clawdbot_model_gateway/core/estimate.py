"""How many tokens a text is, where nobody has counted.

A rough figure for accounting, always marked ESTIMATED; limits and prices need a tokenizer.
"""

from __future__ import annotations

import math
from typing import Final

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_ESTIMATED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

ASCII_PER_TOKEN: Final = 4.0
"""Characters a token in English text with the common BPE vocabularies (OpenAI's rule of thumb)."""
OTHER_PER_TOKEN: Final = 1.5
"""Characters a token in other scripts, between Chinese (about 1) and accented Latin (about 2)."""
MESSAGE_OVERHEAD: Final = 4
"""Tokens of a chat template's framing around each message."""
MEDIA_TOKENS: Final = 300
"""Tokens of an image, sound or document: the order of magnitude of a small picture."""


class TokenEstimate:
    """Adds up pieces of text; how the text was cut makes no difference."""

    def __init__(self) -> None:
        self._plain = 0
        self._other = 0

    def add(self, text: str) -> None:
        """Counts one piece."""
        if text.isascii():
            self._plain += len(text)
        else:
            plain = len(text.encode("ascii", "ignore"))
            self._plain += plain
            self._other += len(text) - plain

    @property
    def tokens(self) -> int:
        """The estimate; 0 for no text, at least 1 for any."""
        return math.ceil(self._plain / ASCII_PER_TOKEN + self._other / OTHER_PER_TOKEN)


def tokens_of(text: str) -> int:
    """An estimate of the tokens in a text."""
    estimate = TokenEstimate()
    estimate.add(text)
    return estimate.tokens


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
