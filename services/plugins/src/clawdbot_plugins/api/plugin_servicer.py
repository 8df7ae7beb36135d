"""PluginService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from clawdbot.plugins.v1 import plugin_service_pb2 as wire
from clawdbot.plugins.v1.plugin_service_pb2_grpc import PluginServiceServicer
from clawdbot_servicekit.errors import NotImplementedYet
from clawdbot_servicekit.paging import page_bounds

from clawdbot_plugins.api.convert import plugin_to_wire, snapshot_to_wire
from clawdbot_plugins.core.registry import Registry


class PluginServicer(PluginServiceServicer):
    """Tells what the registry knows; changing it comes later."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ListPlugins(self, request: wire.ListPluginsRequest, context: Any) -> wire.ListPluginsResponse:
        """As the contract says."""
        known = self._registry.snapshot.plugins
        names, token = page_bounds(list(known), "plugins", request.page_size, request.page_token)
        plugins = [plugin_to_wire(known[name]) for name in names]
        return wire.ListPluginsResponse(plugins=plugins, next_page_token=token)

    async def GetPlugin(self, request: wire.GetPluginRequest, context: Any) -> wire.GetPluginResponse:
        """As the contract says."""
        return wire.GetPluginResponse(plugin=plugin_to_wire(self._registry.snapshot.plugin(request.name)))

    async def WatchPlugins(
        self, request: wire.WatchPluginsRequest, context: Any
    ) -> AsyncIterator[wire.WatchPluginsResponse]:
        """As the contract says. Before the first snapshot it waits."""
        async with aclosing(self._registry.watch()) as snapshots:
            async for snapshot in snapshots:
                yield snapshot_to_wire(snapshot)

    async def InstallPlugin(
        self, request: wire.InstallPluginRequest, context: Any
    ) -> wire.InstallPluginResponse:
        """Later."""
        raise NotImplementedYet("InstallPlugin")

    async def UpgradePlugin(
        self, request: wire.UpgradePluginRequest, context: Any
    ) -> wire.UpgradePluginResponse:
        """Later."""
        raise NotImplementedYet("UpgradePlugin")

    async def UninstallPlugin(
        self, request: wire.UninstallPluginRequest, context: Any
    ) -> wire.UninstallPluginResponse:
        """Later."""
        raise NotImplementedYet("UninstallPlugin")

    async def EnablePlugin(
        self, request: wire.EnablePluginRequest, context: Any
    ) -> wire.EnablePluginResponse:
        """Later."""
        raise NotImplementedYet("EnablePlugin")

    async def DisablePlugin(
        self, request: wire.DisablePluginRequest, context: Any
    ) -> wire.DisablePluginResponse:
        """Later."""
        raise NotImplementedYet("DisablePlugin")

    async def SearchMarket(
        self, request: wire.SearchMarketRequest, context: Any
    ) -> wire.SearchMarketResponse:
        """Later."""
        raise NotImplementedYet("SearchMarket")
