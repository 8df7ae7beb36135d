"""The model gateway as `clawdbot models` sees it. Failed calls leave as RemoteError."""

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

from clawdbot_cli.rpc import faults, pages

PAGE: Final = 500
"""The largest page that the gateway gives."""
PATIENCE: Final = 20.0
"""Seconds for a call that should answer at once."""
COUNT_PATIENCE: Final = 120.0
"""Seconds to count the tokens of a text as large as the server takes."""


class ModelClient:
    """Calls the gateway's two services on one channel, with one key."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None = None) -> None:
        self._gateway = ModelGatewayServiceStub(channel)
        self._admin = ModelAdminServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    async def models(self) -> Sequence[admin.Model]:
        """Aliases and targets, by name."""
        found = list[admin.Model]()
        async for page in pages(
            self._asking(self._admin.ListModels), admin.ListModelsRequest(page_size=PAGE)
        ):
            found.extend(page.models)
        return found

    async def backends(self) -> Sequence[admin.Backend]:
        """Backends, by name, with what they are doing now."""
        found = list[admin.Backend]()
        async for page in pages(
            self._asking(self._admin.ListBackends), admin.ListBackendsRequest(page_size=PAGE)
        ):
            found.extend(page.backends)
        return found

    async def stream(
        self, request: GenerateRequest, seconds: float
    ) -> AsyncGenerator[StreamGenerateResponse, None]:
        """The events of a reply; leaving it early cancels the call."""
        asked = StreamGenerateRequest(request=request)
        call = self._gateway.StreamGenerate(asked, timeout=seconds, metadata=self._metadata)
        try:
            with faults():
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def count(self, text: str, model: str) -> CountTokensResponse:
        """The tokens of a text for a model."""
        request = CountTokensRequest(text=text, model=model)
        with faults():
            return await self._gateway.CountTokens(request, timeout=COUNT_PATIENCE, metadata=self._metadata)

    def _asking(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """A method for calls that should answer at once, with this client's key."""
        return partial(method, timeout=PATIENCE, metadata=self._metadata)
