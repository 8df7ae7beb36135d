"""ModelAdminService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from typing import Any

from clawdbot.model_gateway.v1 import model_admin_service_pb2 as wire
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet

from clawdbot_model_gateway.core.model_admin import Catalogue


class AdminServicer(ModelAdminServiceServicer):
    """Lists, shows and switches."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def ListModels(self, request: wire.ListModelsRequest, context: Any) -> wire.ListModelsResponse:
        """As the contract says."""
        return self._catalogue.models(request)

    async def GetModel(self, request: wire.GetModelRequest, context: Any) -> wire.GetModelResponse:
        """As the contract says."""
        return self._catalogue.model(request)

    async def SwitchModel(self, request: wire.SwitchModelRequest, context: Any) -> wire.SwitchModelResponse:
        """As the contract says."""
        return await self._catalogue.switch(request)

    async def ListBackends(
        self, request: wire.ListBackendsRequest, context: Any
    ) -> wire.ListBackendsResponse:
        """As the contract says."""
        return self._catalogue.backends(request)

    async def DrainBackend(
        self, request: wire.DrainBackendRequest, context: Any
    ) -> wire.DrainBackendResponse:
        """Later."""
        raise NotImplementedYet("DrainBackend")

    async def FlushCache(self, request: wire.FlushCacheRequest, context: Any) -> wire.FlushCacheResponse:
        """Later."""
        raise NotImplementedYet("FlushCache")

    async def RegisterModel(
        self, request: wire.RegisterModelRequest, context: Any
    ) -> wire.RegisterModelResponse:
        """Later."""
        raise NotImplementedYet("RegisterModel")

    async def VerifyModel(self, request: wire.VerifyModelRequest, context: Any) -> wire.VerifyModelResponse:
        """Later."""
        raise NotImplementedYet("VerifyModel")
