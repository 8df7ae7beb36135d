"""A provider that computes embeddings as a test says, and counts the texts that it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_gateway.core.provider import EmbeddingResult

from tests.support.scripted_provider import FakeProvider


def lengths(text: str) -> list[float]:
    """A vector that tells texts of different lengths apart."""
    return [float(len(text)), 1.0]


class FakeEmbedder(FakeProvider):
    """Embeds with `vector`; an error in `failure` is raised once. One token per text."""

    def __init__(self, vector: Callable[[str], Sequence[float]] = lengths, model: str = "v1") -> None:
        super().__init__()
        self.vector = vector
        self.model = model
        self.failure: Exception | None = None
        self.seen: list[list[str]] = []
        """The texts of each request."""

    async def embed(self, texts, model, dimensions) -> EmbeddingResult:
        self.seen.append([*texts])
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        cost = Usage(
            input_tokens=len(texts),
            cost_micros=10 * len(texts),
            provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
        )
        return EmbeddingResult([self.vector(each)[:dimensions] for each in texts], self.model, cost)
