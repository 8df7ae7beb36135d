"""ModelGatewayService on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from clawdbot.model_gateway.v1 import model_gateway_service_pb2 as pb
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    GenerateResponse,
    StreamGenerateRequest,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet
from typing_extensions import override

from clawdbot_model_gateway.core.embeddings import Embeddings
from clawdbot_model_gateway.core.generation import Generation
from clawdbot_model_gateway.core.tokens.token_counts import TokenCounts


class GatewayServicer(ModelGatewayServiceServicer):
    """Delegates to generation, embeddings and token counting, which use the contract's own messages."""

    def __init__(self, generation: Generation, embeddings: Embeddings, token_counts: TokenCounts) -> None:
        self._generation = generation
        self._embeddings = embeddings
        self._token_counts = token_counts

    @override
    async def Generate(self, request: GenerateRequest, context: Any) -> GenerateResponse:
        return await self._generation.generate(request)

    @override
    async def StreamGenerate(  # type: ignore[override]  # gRPC also takes a coroutine that writes
        self, request: StreamGenerateRequest, context: Any
    ) -> None:
        await self._generation.stream(request.request, context.write)

    @override
    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        return await self._embeddings.embed(request)

    @override
    async def CountTokens(self, request: pb.CountTokensRequest, context: Any) -> pb.CountTokensResponse:
        return await self._token_counts.count(request)

    @override
    async def Transcribe(self, request: pb.TranscribeRequest, context: Any) -> pb.TranscribeResponse:
        raise NotImplementedYet("Transcribe")

    @override
    async def Synthesize(
        self, request: pb.SynthesizeRequest, context: Any
    ) -> AsyncIterator[pb.SynthesizeResponse]:
        raise NotImplementedYet("Synthesize")
        yield  # makes it a stream
