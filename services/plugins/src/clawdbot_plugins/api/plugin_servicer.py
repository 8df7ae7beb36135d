"""PluginService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from clawdbot.plugins.v1 import plugin_service_pb2 as wire
from clawdbot.plugins.v1.plugin_service_pb2_grpc import PluginServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet
from clawdbot_servicekit.pagination import page_bounds
from typing_extensions import override

from clawdbot_plugins.api.convert import plugin_to_wire, snapshot_to_wire
from clawdbot_plugins.core.registry import Registry


class PluginServicer(PluginServiceServicer):
    """Reads the registry. The RPCs that change it are not implemented yet."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @override
    async def ListPlugins(self, request: wire.ListPluginsRequest, context: Any) -> wire.ListPluginsResponse:
        by_name = self._registry.snapshot.plugins
        names, token = page_bounds(list(by_name), "plugins", request.page_size, request.page_token)
        plugins = [plugin_to_wire(by_name[name]) for name in names]
        return wire.ListPluginsResponse(plugins=plugins, next_page_token=token)

    @override
    async def GetPlugin(self, request: wire.GetPluginRequest, context: Any) -> wire.GetPluginResponse:
        return wire.GetPluginResponse(plugin=plugin_to_wire(self._registry.snapshot.plugin(request.name)))

    @override
    async def WatchPlugins(
        self, request: wire.WatchPluginsRequest, context: Any
    ) -> AsyncIterator[wire.WatchPluginsResponse]:
        """Waits for the first snapshot."""
        async with aclosing(self._registry.watch()) as snapshots:
            async for snapshot in snapshots:
                yield snapshot_to_wire(snapshot)

    @override
    async def InstallPlugin(
        self, request: wire.InstallPluginRequest, context: Any
    ) -> wire.InstallPluginResponse:
        raise NotImplementedYet("InstallPlugin")

    @override
    async def UpgradePlugin(
        self, request: wire.UpgradePluginRequest, context: Any
    ) -> wire.UpgradePluginResponse:
        raise NotImplementedYet("UpgradePlugin")

    @override
    async def UninstallPlugin(
        self, request: wire.UninstallPluginRequest, context: Any
    ) -> wire.UninstallPluginResponse:
        raise NotImplementedYet("UninstallPlugin")

    @override
    async def EnablePlugin(
        self, request: wire.EnablePluginRequest, context: Any
    ) -> wire.EnablePluginResponse:
        raise NotImplementedYet("EnablePlugin")

    @override
    async def DisablePlugin(
        self, request: wire.DisablePluginRequest, context: Any
    ) -> wire.DisablePluginResponse:
        raise NotImplementedYet("DisablePlugin")

    @override
    async def SearchMarket(
        self, request: wire.SearchMarketRequest, context: Any
    ) -> wire.SearchMarketResponse:
        raise NotImplementedYet("SearchMarket")
