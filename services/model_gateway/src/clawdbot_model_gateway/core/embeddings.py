"""Texts as vectors: routed, gated, limited and handed on to the next target as a generation is."""

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
from clawdbot_model_gateway.core.call_lifecycle import Calls
from clawdbot_model_gateway.core.errors import CannotEmbed, ModelFailure, ProtocolViolation
from clawdbot_model_gateway.core.hooks import GenerationHooks
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.provider import Embedded, Embedder
from clawdbot_model_gateway.core.token_estimate import tokens_of

EMBEDDED: Final = "EMBEDDED"
"""The outcome that observers are told of a call that went well."""


@dataclass(frozen=True, slots=True)
class EmbedLimits:
    """How much one request may be."""

    max_texts: int = 2048
    """Texts; what OpenAI takes at once."""
    max_bytes: int = 16 * 1024 * 1024
    """Of the whole request as encoded."""
    max_dimensions: int = 65_536


class Embeddings:
    """Embeds texts.

    Args:
        directory: what names mean.
        backends: by name.
        hooks: of the points before_generate and generation_done.
        limits: what one request may be.
        draw: uniform numbers in [0, 1), for the weights of targets.
    """

    def __init__(
        self,
        directory: Directory,
        backends: Mapping[str, Backend],
        *,
        hooks: GenerationHooks,
        limits: EmbedLimits,
        draw: Callable[[], float] = random,
    ) -> None:
        self._calls = Calls(directory, hooks, draw)
        self._backends = backends
        self._limits = limits

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """One vector for each text.

        Raises:
            InvalidRequest: the request is at fault.
            UnknownModel: its model is not there.
            ModelFailure: no backend could answer; CannotEmbed where none embeds at all.
        """
        violations = [*_violations(request, self._limits)]
        if violations:
            raise InvalidRequest(violations)
        with await self._calls.begin(GenerateRequest(model=request.model)) as run:
            for target in run.attempts():
                try:
                    backend = self._backends[target.backend]
                    with backend.serving() as provider:
                        run.model = await backend.model_for(target.model)
                        if not isinstance(provider, Embedder):
                            raise CannotEmbed(f"the provider {backend.kind} makes no embeddings")
                        found = await provider.embed(
                            request.texts,
                            run.model,
                            request.dimensions if request.HasField("dimensions") else None,
                        )
                        packed = _packed(request, found)
                except ModelFailure as failure:
                    run.failed(failure)
                else:
                    run.usage, run.outcome = _usage(request, found), EMBEDDED
                    return EmbedResponse(
                        embeddings=packed,
                        usage=run.usage,
                        model=found.model or run.model,
                        backend=backend.name,
                    )
            raise AssertionError("attempts() ends by raising")


def _violations(request: EmbedRequest, limits: EmbedLimits) -> Iterator[FieldViolation]:
    count = len(request.texts)
    if not count:
        yield FieldViolation("texts", "At least one text is needed.")
    elif count > limits.max_texts:
        yield FieldViolation("texts", f"{count} texts are more than the {limits.max_texts} allowed.")
    elif (size := request.ByteSize()) > limits.max_bytes:
        yield FieldViolation(
            "texts", f"The request has {size} bytes; at most {limits.max_bytes} are allowed."
        )
    else:
        for place, text in enumerate(request.texts):
            if not text:
                yield FieldViolation(f"texts[{place}]", "Must not be empty.")
    if request.HasField("dimensions") and not 1 <= request.dimensions <= limits.max_dimensions:
        yield FieldViolation("dimensions", f"Must be 1 to {limits.max_dimensions}.")


def _packed(request: EmbedRequest, found: Embedded) -> list[Embedding]:
    if len(found.vectors) != len(request.texts):
        raise ProtocolViolation("its answer is not one vector for each text")
    length = len(found.vectors[0])
    if request.HasField("dimensions") and length != request.dimensions:
        raise InvalidRequest.of("dimensions", f"{found.model} makes vectors of {length}, and no others.")
    try:
        return [Embedding(values=each) for each in found.vectors]
    except TypeError:
        raise ProtocolViolation("its vectors hold what is no number") from None


def _usage(request: EmbedRequest, found: Embedded) -> Usage:
    if found.usage.provenance != USAGE_PROVENANCE_UNSPECIFIED:
        return found.usage
    return Usage(
        input_tokens=sum(map(tokens_of, request.texts)),
        provenance=USAGE_PROVENANCE_ESTIMATED,
    )
