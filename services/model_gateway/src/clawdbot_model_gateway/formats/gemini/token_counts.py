"""Embeddings and token counts: the calls of the Gemini API that make no reply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_servicekit.errors import InvalidRequest

from clawdbot_model_gateway.core.errors import ProtocolViolation, RequestRefused
from clawdbot_model_gateway.core.provider import Embedded
from clawdbot_model_gateway.formats.gemini.models import resource
from clawdbot_model_gateway.formats.gemini.usage import count

BATCH: Final = 100
"""Texts of one batchEmbedContents; more are refused."""


class Embeddings:
    """The vectors of one request, put together from its batches."""

    def __init__(self, texts: Sequence[str], model: str, dimensions: int | None) -> None:
        self._texts = texts
        self._model = model
        self._dimensions = dimensions
        self._vectors: list[list[float]] = []
        self._asked = 0
        self._tokens: int | None = 0
        """None once a batch did not say."""

    def batches(self) -> Iterator[dict[str, Any]]:
        """The bodies to send, in order; each answer is given to `take` before the next."""
        size = {} if self._dimensions is None else {"outputDimensionality": self._dimensions}
        for begin in range(0, len(self._texts), BATCH):
            batch = self._texts[begin : begin + BATCH]
            self._asked = len(batch)
            yield {
                "requests": [
                    {"model": resource(self._model), "content": {"parts": [{"text": text}]}, **size}
                    for text in batch
                ]
            }

    @contextmanager
    def naming_dimensions(self) -> Iterator[None]:
        """A refusal of the dimensions names their field, since the vendor's name means nothing to callers."""
        try:
            yield
        except RequestRefused as refused:
            said = refused.detail.lower().replace("_", "")
            if self._dimensions is None or "dimension" not in said:
                raise
            raise InvalidRequest.of("dimensions", f"{self._model} refuses it: {refused.detail}.") from refused

    def take(self, body: bytes) -> None:
        """One batch's answer.

        Raises:
            ProtocolViolation: it holds other than one vector for each text.
            InvalidRequest: the model took no notice of the dimensions.
        """
        try:
            answer = orjson.loads(body)
            vectors = [[float(each) for each in found["values"]] for found in answer["embeddings"]]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("what it answers to batchEmbedContents are no embeddings") from None
        self._vectors += vectors
        lengths = {len(each) for each in self._vectors}
        if len(vectors) != self._asked or len(lengths) != 1 or 0 in lengths:
            raise ProtocolViolation("its embeddings are not one of the same length for each text")
        if self._dimensions is not None and self._dimensions not in lengths:
            raise InvalidRequest.of("dimensions", f"{self._model} always gives {lengths.pop()}.")
        counts = answer.get("usageMetadata")
        told = count(counts, "promptTokenCount") if isinstance(counts, dict) else 0
        self._tokens = self._tokens + told if told and self._tokens is not None else None

    def whole(self) -> Embedded:
        """All of it; the gateway estimates what the vendor does not count."""
        told = Usage(input_tokens=self._tokens or 0, provenance=USAGE_PROVENANCE_REPORTED)
        return Embedded(self._vectors, self._model, Usage() if self._tokens is None else told)


def total_tokens(body: bytes) -> int:
    """The count in an answer to countTokens.

    Raises:
        ProtocolViolation: there is none.
    """
    try:
        found = orjson.loads(body)["totalTokens"]
    except (ValueError, TypeError, KeyError):
        found = None
    if not isinstance(found, int) or found < 0:
        raise ProtocolViolation("what it answers to countTokens is no count")
    return found
