"""The model gateway, as the turn engine's ModelGateway and the flows' ModelDirectory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import grpc.aio
from clawdbot.model_gateway.v1.generation_pb2 import (
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2 import ListModelsRequest
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.status_details import DOMAIN
from typing_extensions import override

from clawdbot_dialogue.core.turns.ports import (
    GenerationError,
    ModelDirectory,
    ModelGateway,
    ModelsUnknown,
)

STATUS_MESSAGES: Final = {
    "UNAVAILABLE": "The model gateway does not answer.",
    "DEADLINE_EXCEEDED": "The model did not answer in time.",
}
"""For statuses without a reason of Clawdbot's own."""
PAGE_SIZE: Final = 500
LOOKUP_TIMEOUT: Final = 5.0
"""Seconds for one page of the list of models."""


class GatewayClient(ModelGateway, ModelDirectory):
    """Streams replies from the gateway, and lists its models."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ModelGatewayServiceStub(channel)
        self._admin = ModelAdminServiceStub(channel)

    @override
    async def models(self) -> Collection[str]:
        names = set[str]()
        request = ListModelsRequest(page_size=PAGE_SIZE)
        try:
            while True:
                page = await self._admin.ListModels(
                    request, timeout=deadline.outgoing_timeout(LOOKUP_TIMEOUT)
                )
                names.update(model.name for model in page.models)
                if not page.next_page_token:
                    return names
                request.page_token = page.next_page_token
        except grpc.aio.AioRpcError as error:
            code = remote_error(error).code
            raise ModelsUnknown(
                "MODELS_UNAVAILABLE", f"The model gateway did not list its models ({code})."
            ) from error

    @override
    async def stream(
        self, request: StreamGenerateRequest, take: Callable[[StreamGenerateResponse], None]
    ) -> None:
        call = self._stub.StreamGenerate(request, timeout=deadline.outgoing_timeout())
        finished = False
        try:
            async for event in call:
                finished = event.HasField("finished")
                take(event)
        except grpc.aio.AioRpcError as error:
            raise _generation_error(error) from error
        finally:
            call.cancel()
        if not finished:
            raise GenerationError("GENERATION_CUT_OFF", "The model's reply ended in the middle.")


def _generation_error(error: grpc.aio.AioRpcError) -> GenerationError:
    remote = remote_error(error)
    if remote.domain == DOMAIN and remote.reason:
        return GenerationError(remote.reason, remote.message)
    message = STATUS_MESSAGES.get(remote.code, f"The model gateway answered {remote.code}.")
    return GenerationError(f"GATEWAY_{remote.code}", message)
