"""The client of the model gateway for `clawdbot models`. Failed calls are raised as RemoteError."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import grpc.aio
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest, CountTokensResponse
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from clawdbot_cli.rpc import paginate, remote_errors

PAGE_SIZE: Final = 500
"""The largest page that the gateway returns."""
CALL_TIMEOUT: Final = 20.0
"""Seconds for a call that should return at once."""
COUNT_TIMEOUT: Final = 120.0
"""Seconds to count the tokens of the largest text that the server accepts."""


class ModelClient:
    """Calls the gateway's two services on one channel, with one key.

    Args:
        channel: to the gateway.
        key: the caller's.
        server: the gateway's name in messages.
    """

    def __init__(self, channel: grpc.aio.Channel, key: str | None = None, server: str = "it") -> None:
        self.server = server
        self._gateway = ModelGatewayServiceStub(channel)
        self._admin = ModelAdminServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    async def list_models(self) -> Sequence[admin.Model]:
        """Aliases and targets, sorted by name."""
        found = list[admin.Model]()
        fetch = self._with_defaults(self._admin.ListModels)
        async for page in paginate(fetch, admin.ListModelsRequest(page_size=PAGE_SIZE)):
            found.extend(page.models)
        return found

    async def list_backends(self) -> Sequence[admin.Backend]:
        """Backends and their current load, sorted by name."""
        found = list[admin.Backend]()
        fetch = self._with_defaults(self._admin.ListBackends)
        async for page in paginate(fetch, admin.ListBackendsRequest(page_size=PAGE_SIZE)):
            found.extend(page.backends)
        return found

    async def usage(self, request: admin.GetUsageRequest) -> Sequence[admin.UsageRecord]:
        """All records that the request selects."""
        found = list[admin.UsageRecord]()
        async for page in paginate(self._with_defaults(self._admin.GetUsage), request):
            found.extend(page.records)
        return found

    async def stream_generate(
        self, request: GenerateRequest, seconds: float
    ) -> AsyncGenerator[StreamGenerateResponse, None]:
        """The events of a reply. Closing the generator early cancels the call."""
        stream_request = StreamGenerateRequest(request=request)
        call = self._gateway.StreamGenerate(stream_request, timeout=seconds, metadata=self._metadata)
        try:
            with remote_errors():
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def count_tokens(self, text: str, model: str) -> CountTokensResponse:
        """The number of tokens of a text for a model."""
        request = CountTokensRequest(text=text, model=model)
        with remote_errors():
            return await self._gateway.CountTokens(request, timeout=COUNT_TIMEOUT, metadata=self._metadata)

    def _with_defaults(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The method with CALL_TIMEOUT and this client's key."""
        return partial(method, timeout=CALL_TIMEOUT, metadata=self._metadata)
