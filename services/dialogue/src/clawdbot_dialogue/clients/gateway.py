"""The model gateway as the engine's ModelGateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import grpc.aio
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_servicekit import deadline
from clawdbot_servicekit.details import DOMAIN
from clawdbot_servicekit.errors import fault_of

from clawdbot_dialogue.core.turns.ports import GenerationRefused

SENTENCES: Final = {
    "UNAVAILABLE": "The model gateway does not answer.",
    "DEADLINE_EXCEEDED": "The model did not answer in time.",
}
"""What is said of a status that bears no reason of ours."""


class GatewayClient:
    """Streams replies from the gateway."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ModelGatewayServiceStub(channel)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamGenerateResponse, None]:
        """See ModelGateway."""
        whole = StreamGenerateRequest(request=request)
        call = self._stub.StreamGenerate(whole, timeout=deadline.outgoing())
        finished = False
        try:
            async for event in call:
                finished = event.HasField("finished")
                yield event
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error
        finally:
            call.cancel()
        if not finished:
            raise GenerationRefused("GENERATION_CUT_OFF", "The model's reply ended in the middle.")


def _refused(error: grpc.aio.AioRpcError) -> GenerationRefused:
    fault = fault_of(error)
    if fault.domain == DOMAIN and fault.reason:
        return GenerationRefused(fault.reason, fault.message)
    sentence = SENTENCES.get(fault.code, f"The model gateway answered {fault.code}.")
    return GenerationRefused(f"GATEWAY_{fault.code}", sentence)
