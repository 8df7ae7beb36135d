"""batchEmbedContents: encodes the bodies of its batches and joins the vectors that come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_ESTIMATED, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_servicekit.errors import InvalidRequest

from clawdbot_model_gateway.core.errors import ProtocolViolation, RequestRefused
from clawdbot_model_gateway.core.provider import EmbeddingResult
from clawdbot_model_gateway.core.spending import note_usage
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_tokens
from clawdbot_model_gateway.formats.gemini.models import resource_path
from clawdbot_model_gateway.formats.vendor_json import count_in

MAX_BATCH_SIZE: Final = 100
"""Texts in one batchEmbedContents; the API refuses more."""


class EmbeddingBatches:
    """The vectors of one request, collected from its batches."""

    def __init__(self, texts: Sequence[str], model: str, dimensions: int | None) -> None:
        self._texts = texts
        self._model = model
        self._dimensions = dimensions
        self._vectors: list[list[float]] = []
        self._batch_size = 0
        self._usage = Usage(provenance=USAGE_PROVENANCE_REPORTED)
        """Of the batches that came back: estimated where one of them did not report its tokens."""

    def bodies(self) -> Iterator[dict[str, Any]]:
        """The bodies to send, in order; pass each response to `add` before taking the next one."""
        size = {} if self._dimensions is None else {"outputDimensionality": self._dimensions}
        for begin in range(0, len(self._texts), MAX_BATCH_SIZE):
            batch = self._texts[begin : begin + MAX_BATCH_SIZE]
            self._batch_size = len(batch)
            yield {
                "requests": [
                    {"model": resource_path(self._model), "content": {"parts": [{"text": text}]}, **size}
                    for text in batch
                ]
            }

    @contextmanager
    def mapping_dimension_errors(self) -> Iterator[None]:
        """Reports refused dimensions under our field's name, since callers do not know the vendor's."""
        try:
            yield
        except RequestRefused as refused:
            detail = refused.detail.lower().replace("_", "")
            if self._dimensions is None or "dimension" not in detail:
                raise
            raise InvalidRequest.of("dimensions", f"{self._model} refuses it: {refused.detail}.") from refused

    def add(self, body: bytes) -> None:
        """Adds one batch's response.

        Raises:
            ProtocolViolation: it is not one vector for each text.
            InvalidRequest: the model ignored the dimensions.
        """
        try:
            response = orjson.loads(body)
            vectors = [
                [float(number) for number in embedding["values"]] for embedding in response["embeddings"]
            ]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("batchEmbedContents did not return embeddings") from None
        self._vectors += vectors
        lengths = {len(vector) for vector in self._vectors}
        if len(vectors) != self._batch_size or len(lengths) != 1 or 0 in lengths:
            raise ProtocolViolation(
                "batchEmbedContents did not return one vector for each text, all of one length"
            )
        self._take_usage(response.get("usageMetadata"))
        if self._dimensions is not None and self._dimensions not in lengths:
            raise InvalidRequest.of(
                "dimensions", f"{self._model} always returns vectors of length {lengths.pop()}."
            )

    def result(self) -> EmbeddingResult:
        """All vectors. The gateway estimates the usage if the vendor did not count all of it."""
        counted = self._usage.provenance == USAGE_PROVENANCE_REPORTED
        return EmbeddingResult(self._vectors, self._model, self._usage if counted else Usage())

    def _take_usage(self, counts: Any) -> None:
        """Adds what the batch cost, and notes it: the next one may fail."""
        tokens = count_in(counts, "promptTokenCount")
        if not tokens:
            begin = len(self._vectors) - self._batch_size
            tokens = sum(map(estimate_tokens, self._texts[begin : len(self._vectors)]))
            self._usage.provenance = USAGE_PROVENANCE_ESTIMATED
        self._usage.input_tokens += tokens
        note_usage(self._usage)
