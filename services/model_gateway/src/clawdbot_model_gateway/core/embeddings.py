"""Answers Embed: routing, hooks, limits, fallbacks and the cache work as they do for generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import random
from typing import Final

from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_CACHED,
    USAGE_PROVENANCE_ESTIMATED,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    CACHE_STATUS_BYPASS,
    CACHE_STATUS_HIT,
    CACHE_STATUS_MISS,
    GenerateRequest,
    Sampling,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import Embedding, EmbedRequest, EmbedResponse
from clawdbot_model_client.usage import sum_usage
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest

from clawdbot_model_gateway.core.attempt import Attempt
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.call_lifecycle import CallLifecycle
from clawdbot_model_gateway.core.errors import CannotEmbed, ModelError, ProtocolViolation
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.limits.call_accounts import CallAccounts
from clawdbot_model_gateway.core.provider import Embedder, EmbeddingResult
from clawdbot_model_gateway.core.reply_cache.cached_vectors import CachedVectors
from clawdbot_model_gateway.core.reply_cache.rules import CacheUse
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_tokens
from clawdbot_model_gateway.core.validation import PRIORITIES, cache_violations

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
        vectors: the cache of vectors; None: every text goes to a backend.
        draw: uniform numbers in [0, 1), for the weights of targets.
        accounts: limits calls and counts what they have used; None: nothing does.
    """

    def __init__(
        self,
        router: Router,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: EmbedLimits,
        vectors: CachedVectors | None = None,
        draw: Callable[[], float] = random,
        accounts: CallAccounts | None = None,
    ) -> None:
        self._lifecycle = CallLifecycle(router, hooks, draw, accounts)
        self._backends = backends
        self.limits = limits
        self._vectors = vectors

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """One vector per text.

        Raises:
            InvalidRequest: the request is invalid.
            UnknownModel: its model does not exist.
            ModelError: no backend could answer; CannotEmbed where no target supports embeddings.
        """
        violations = [*_violations(request, self.limits)]
        if violations:
            raise InvalidRequest(violations)
        # Without output: limits reserve none.
        labels = GenerateRequest(model=request.model, sampling=Sampling(max_tokens=0))

        def uses_cache(_: GenerateRequest, targets: Sequence[Target]) -> bool:
            vectors, backend = self._vectors, self._backends[targets[0].backend]
            return vectors is not None and vectors.use(request, backend) is not None

        start = self._lifecycle.start(labels, uses_cache, lambda: _estimated_tokens(request))
        with await start as attempts:
            async for attempt in attempts:
                backend = self._backends[attempt.target.backend]
                attempt.prices = backend.prices
                attempt.begin(backend.failure)
                use = None if self._vectors is None else self._vectors.use(request, backend)
                try:
                    if self._vectors is None or use is None:
                        asking = self._ask(request, attempt, backend)
                    else:
                        asking = self._look_up(self._vectors, use, request, attempt, backend)
                    response = await attempt.in_time(asking)
                except ModelError as error:
                    attempts.record_error(attempt, error)
                else:
                    attempt.outcome = EMBEDDED
                    return response
            raise AssertionError("the attempts end by raising")

    async def _look_up(
        self, vectors: CachedVectors, use: CacheUse, request: EmbedRequest, attempt: Attempt, backend: Backend
    ) -> EmbedResponse:
        """The response, for which the backend only sees texts that are not in the cache."""
        attempt.model = await backend.model_for(attempt.target.model)
        known = await vectors.look_up(use, request, backend, attempt.model)
        by_text = known.vectors
        unknown = [text for text in known.places if text not in by_text]
        if not unknown:
            attempt.free, attempt.cache_status = True, CACHE_STATUS_HIT
            attempt.usage = Usage(provenance=USAGE_PROVENANCE_CACHED)
            response = EmbedResponse(usage=attempt.usage, model=known.model, backend=backend.name)
        else:
            attempt.cache_status = CACHE_STATUS_MISS
            response = await self._ask(_with_texts(request, unknown), attempt, backend)
            if by_text and response.model != known.model:
                # The vendor's model has changed: the vectors in the cache cannot be compared with its.
                by_text, unknown = {}, [*known.places]
                response = await self._ask(_with_texts(request, unknown), attempt, backend)
            vectors.store(use, known, unknown, response)
            by_text |= zip(unknown, response.embeddings, strict=True)
        del response.embeddings[:]
        response.embeddings.extend(by_text[text] for text in request.texts)
        response.cache_status = attempt.cache_status
        sent = frozenset(unknown)
        response.cached_texts = sum(text not in sent for text in request.texts)
        return response

    async def _ask(self, request: EmbedRequest, attempt: Attempt, backend: Backend) -> EmbedResponse:
        """The response of the backend. Its usage has what the attempt has spent before as well."""
        attempt.model = backend.display_name(attempt.target.model)
        if attempt.reserve is not None:
            await attempt.reserve()
        slot = backend.slot(request, expires_at=attempt.expires_at, last_resort=attempt.last_resort)
        async with slot as provider:
            attempt.model = await backend.model_for(attempt.target.model)
            if not isinstance(provider, Embedder):
                raise CannotEmbed(f"the provider {backend.provider_name} does not support embeddings")
            dimensions = request.dimensions if request.HasField("dimensions") else None
            spent = attempt.usage
            attempt.spending.input_tokens = partial(_estimated_tokens, request)
            try:
                with attempt.spending:
                    result = await provider.embed(request.texts, attempt.model, dimensions)
            except BaseException as error:
                # A refusal costs nothing, but batches of the request that had come back before do.
                answered = isinstance(error, InvalidRequest) or (
                    isinstance(error, ModelError) and error.answered
                )
                cost = attempt.spending.reported
                if attempt.spending.sent and not answered:
                    cost = _estimate(request)
                if cost is not None:
                    attempt.usage = attempt.priced(sum_usage([spent, cost]))
                raise
        # First of all: vectors that cannot be used are charged for as well.
        attempt.usage = attempt.priced(sum_usage([spent, _usage(request, result)]))
        return EmbedResponse(
            embeddings=_embeddings(request, result),
            usage=attempt.usage,
            model=result.model or attempt.model,
            backend=backend.name,
            cache_status=CACHE_STATUS_BYPASS,
        )


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
    if request.HasField("cache"):
        yield from cache_violations(request.cache)
    if request.priority not in PRIORITIES:
        yield FieldViolation("priority", "Must be INTERACTIVE, STANDARD or BATCH.")
    if request.HasField("dimensions") and not 1 <= request.dimensions <= limits.max_dimensions:
        yield FieldViolation("dimensions", f"Must be between 1 and {limits.max_dimensions}.")


def _with_texts(request: EmbedRequest, texts: Sequence[str]) -> EmbedRequest:
    dimensions = request.dimensions if request.HasField("dimensions") else None
    return EmbedRequest(texts=texts, dimensions=dimensions, priority=request.priority)


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
    return result.usage if result.usage.input_tokens else _estimate(request)


def _estimate(request: EmbedRequest) -> Usage:
    return Usage(input_tokens=_estimated_tokens(request), provenance=USAGE_PROVENANCE_ESTIMATED)


def _estimated_tokens(request: EmbedRequest) -> int:
    return sum(map(estimate_tokens, request.texts))
