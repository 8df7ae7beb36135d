"""ModelAdminService on the wire."""

from __future__ import annotations

from typing import Any

from clawdbot.model_gateway.v1 import model_admin_service_pb2 as pb
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet
from typing_extensions import override

from clawdbot_model_gateway.core.model_admin import ModelAdmin


class AdminServicer(ModelAdminServiceServicer):
    """Delegates to ModelAdmin."""

    def __init__(self, admin: ModelAdmin) -> None:
        self._admin = admin

    @override
    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        return self._admin.list_models(request)

    @override
    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        return self._admin.get_model(request)

    @override
    async def SwitchModel(self, request: pb.SwitchModelRequest, context: Any) -> pb.SwitchModelResponse:
        return await self._admin.switch_model(request)

    @override
    async def ListBackends(self, request: pb.ListBackendsRequest, context: Any) -> pb.ListBackendsResponse:
        return self._admin.list_backends(request)

    @override
    async def DrainBackend(self, request: pb.DrainBackendRequest, context: Any) -> pb.DrainBackendResponse:
        return await self._admin.drain_backend(request)

    @override
    async def ReloadModels(self, request: pb.ReloadModelsRequest, context: Any) -> pb.ReloadModelsResponse:
        return await self._admin.reload_models()

    @override
    async def FlushCache(self, request: pb.FlushCacheRequest, context: Any) -> pb.FlushCacheResponse:
        return await self._admin.flush_cache(request)

    @override
    async def RegisterModel(self, request: pb.RegisterModelRequest, context: Any) -> pb.RegisterModelResponse:
        raise NotImplementedYet("RegisterModel")

    @override
    async def VerifyModel(self, request: pb.VerifyModelRequest, context: Any) -> pb.VerifyModelResponse:
        raise NotImplementedYet("VerifyModel")
