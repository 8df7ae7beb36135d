"""Answers Embed: routing, hooks, limits and fallbacks work as they do for generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import random
from typing import Final

from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_ESTIMATED,
    USAGE_PROVENANCE_UNSPECIFIED,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import Embedding, EmbedRequest, EmbedResponse
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import CallLifecycle
from clawdbot_model_gateway.core.errors import CannotEmbed, ModelError, ProtocolViolation
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.provider import Embedder, EmbeddingResult
from clawdbot_model_gateway.core.router import Router
from clawdbot_model_gateway.core.token_estimate import estimate_tokens
from clawdbot_model_gateway.core.validation import PRIORITIES

EMBEDDED: Final = "EMBEDDED"
"""The outcome that observers receive for a successful call."""


@dataclass(frozen=True, slots=True)
class EmbedLimits:
    """Limits of one request."""

    max_texts: int = 2048
    """Number of texts. The default is OpenAI's own limit."""
    max_bytes: int = 16 * 1024 * 1024
    """Encoded size of the whole request."""
    max_dimensions: int = 65_536


class Embeddings:
    """Answers Embed.

    Args:
        router: resolves names to targets.
        backends: by name.
        hooks: runs the points before_generate and generation_done.
        limits: of one request.
        draw: uniform numbers in [0, 1), for the weights of targets.
    """

    def __init__(
        self,
        router: Router,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: EmbedLimits,
        draw: Callable[[], float] = random,
    ) -> None:
        self._lifecycle = CallLifecycle(router, hooks, draw)
        self._backends = backends
        self._limits = limits

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """One vector per text.

        Raises:
            InvalidRequest: the request is invalid.
            UnknownModel: its model does not exist.
            ModelError: no backend could answer; CannotEmbed where no target supports embeddings.
        """
        violations = [*_violations(request, self._limits)]
        if violations:
            raise InvalidRequest(violations)
        labels = GenerateRequest(model=request.model)
        with await self._lifecycle.start(labels) as attempts:
            async for attempt in attempts:
                backend = self._backends[attempt.target.backend]
                try:
                    async with (
                        attempt.within(backend.failure),
                        backend.slot(request, expires_at=attempt.expires_at) as provider,
                    ):
                        attempt.model = await backend.model_for(attempt.target.model)
                        if not isinstance(provider, Embedder):
                            raise CannotEmbed(
                                f"the provider {backend.provider_name} does not support embeddings"
                            )
                        result = await provider.embed(
                            request.texts,
                            attempt.model,
                            request.dimensions if request.HasField("dimensions") else None,
                        )
                    embeddings = _embeddings(request, result)
                except ModelError as error:
                    attempts.record_error(attempt, error)
                else:
                    attempt.usage, attempt.outcome = _usage(request, result), EMBEDDED
                    return EmbedResponse(
                        embeddings=embeddings,
                        usage=attempt.usage,
                        model=result.model or attempt.model,
                        backend=backend.name,
                    )
            raise AssertionError("the attempts end by raising")


def _violations(request: EmbedRequest, limits: EmbedLimits) -> Iterator[FieldViolation]:
    count = len(request.texts)
    if not count:
        yield FieldViolation("texts", "At least one text is required.")
    elif count > limits.max_texts:
        yield FieldViolation("texts", f"Has {count} texts; at most {limits.max_texts} are allowed.")
    elif (size := request.ByteSize()) > limits.max_bytes:
        yield FieldViolation(
            "texts", f"The request has {size} bytes; at most {limits.max_bytes} are allowed."
        )
    else:
        for index, text in enumerate(request.texts):
            if not text:
                yield FieldViolation(f"texts[{index}]", "Must not be empty.")
    if request.priority not in PRIORITIES:
        yield FieldViolation("priority", "Must be INTERACTIVE, STANDARD or BATCH.")
    if request.HasField("dimensions") and not 1 <= request.dimensions <= limits.max_dimensions:
        yield FieldViolation("dimensions", f"Must be between 1 and {limits.max_dimensions}.")


def _embeddings(request: EmbedRequest, result: EmbeddingResult) -> list[Embedding]:
    if len(result.vectors) != len(request.texts):
        raise ProtocolViolation("the response does not contain one vector per text")
    length = len(result.vectors[0])
    if request.HasField("dimensions") and length != request.dimensions:
        raise InvalidRequest.of("dimensions", f"{result.model} only supports {length} dimensions.")
    try:
        return [Embedding(values=each) for each in result.vectors]
    except TypeError:
        raise ProtocolViolation("the vectors contain values that are not numbers") from None


def _usage(request: EmbedRequest, result: EmbeddingResult) -> Usage:
    if result.usage.provenance != USAGE_PROVENANCE_UNSPECIFIED:
        return result.usage
    return Usage(
        input_tokens=sum(map(estimate_tokens, request.texts)),
        provenance=USAGE_PROVENANCE_ESTIMATED,
    )
