"""The model gateway as the engine's ModelGateway, and as the flows' ModelDirectory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import Final

import grpc.aio
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2 import ListModelsRequest
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.status_details import DOMAIN

from clawdbot_dialogue.core.turns.ports import GenerationError, ModelsUnknown

STATUS_MESSAGES: Final = {
    "UNAVAILABLE": "The model gateway does not answer.",
    "DEADLINE_EXCEEDED": "The model did not answer in time.",
}
"""What is said of a status that bears no reason of ours."""
PAGE_SIZE: Final = 500
LOOKUP_TIMEOUT: Final = 5.0
"""Seconds that a page of the models may take."""


class GatewayClient:
    """Streams replies from the gateway, and asks it which models there are."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ModelGatewayServiceStub(channel)
        self._admin = ModelAdminServiceStub(channel)

    async def models(self) -> Collection[str]:
        """See ModelDirectory."""
        found = set[str]()
        request = ListModelsRequest(page_size=PAGE_SIZE)
        try:
            while True:
                page = await self._admin.ListModels(request, timeout=deadline.outgoing(LOOKUP_TIMEOUT))
                found.update(model.name for model in page.models)
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token
        except grpc.aio.AioRpcError as error:
            code = remote_error(error).code
            raise ModelsUnknown(
                "MODELS_UNAVAILABLE", f"The model gateway cannot be asked for its models ({code})."
            ) from error

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
            raise GenerationError("GENERATION_CUT_OFF", "The model's reply ended in the middle.")


def _refused(error: grpc.aio.AioRpcError) -> GenerationError:
    fault = remote_error(error)
    if fault.domain == DOMAIN and fault.reason:
        return GenerationError(fault.reason, fault.message)
    sentence = STATUS_MESSAGES.get(fault.code, f"The model gateway answered {fault.code}.")
    return GenerationError(f"GATEWAY_{fault.code}", sentence)
