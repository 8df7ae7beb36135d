"""ModelGatewayService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from clawdbot.model_gateway.v1 import model_gateway_service_pb2 as wire
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    GenerateResponse,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet

from clawdbot_model_gateway.core.embeddings import Embeddings
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.token_counting import Counting


class GatewayServicer(ModelGatewayServiceServicer):
    """Generates, embeds and counts; the contract's messages are the domain's."""

    def __init__(self, generation: Generation, embeddings: Embeddings, counting: Counting) -> None:
        self._generation = generation
        self._embeddings = embeddings
        self._counting = counting

    async def Generate(self, request: GenerateRequest, context: Any) -> GenerateResponse:
        """As the contract says."""
        return await self._generation.generate(request)

    async def StreamGenerate(
        self, request: StreamGenerateRequest, context: Any
    ) -> AsyncIterator[StreamGenerateResponse]:
        """As the contract says."""
        async with aclosing(self._generation.stream(request.request)) as events:
            async for event in events:
                yield event

    async def Embed(self, request: wire.EmbedRequest, context: Any) -> wire.EmbedResponse:
        """As the contract says."""
        return await self._embeddings.embed(request)

    async def CountTokens(self, request: wire.CountTokensRequest, context: Any) -> wire.CountTokensResponse:
        """As the contract says."""
        return await self._counting.count(request)

    async def Transcribe(self, request: wire.TranscribeRequest, context: Any) -> wire.TranscribeResponse:
        """Later."""
        raise NotImplementedYet("Transcribe")

    async def Synthesize(
        self, request: wire.SynthesizeRequest, context: Any
    ) -> AsyncIterator[wire.SynthesizeResponse]:
        """Later."""
        raise NotImplementedYet("Synthesize")
        yield  # what makes it a stream
