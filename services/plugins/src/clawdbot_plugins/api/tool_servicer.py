"""ToolService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from clawdbot.plugins.v1 import tool_service_pb2 as wire
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceServicer
from clawdbot_servicekit.pagination import page_bounds
from typing_extensions import override

from clawdbot_plugins.api.convert import call_from_wire, tool_event_to_wire, tool_to_wire
from clawdbot_plugins.core.invocation import ToolInvoker
from clawdbot_plugins.core.registry import Registry


class ToolServicer(ToolServiceServicer):
    """Lists and runs tools."""

    def __init__(self, registry: Registry, invoker: ToolInvoker, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._invoker = invoker
        self._clock = clock

    @override
    async def ListTools(self, request: wire.ListToolsRequest, context: Any) -> wire.ListToolsResponse:
        by_name = self._registry.snapshot.tools_of(request.plugin)
        names, token = page_bounds(list(by_name), "tools", request.page_size, request.page_token)
        tools = [tool_to_wire(by_name[name]) for name in names]
        return wire.ListToolsResponse(tools=tools, next_page_token=token)

    @override
    async def InvokeTool(
        self, request: wire.InvokeToolRequest, context: Any
    ) -> AsyncIterator[wire.InvokeToolResponse]:
        async with aclosing(self._invoker.invoke(call_from_wire(request, self._clock))) as events:
            async for event in events:
                yield tool_event_to_wire(event)
