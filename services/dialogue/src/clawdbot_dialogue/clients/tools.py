"""The plugin service, as the turn engine's ToolBox.

The list of tools is cached for a few seconds. A call whose connection breaks is retried with the same
request_id: the plugin service runs a tool of effect `once` one time for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest, ListToolsRequest, Tool, ToolOutcome
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.status_details import DOMAIN
from typing_extensions import override

from clawdbot_dialogue.core.turns.ports import ToolBox, ToolOutcomeUnknown, ToolRefused

CACHE_SECONDS: Final = 5.0
"""How long the list of tools is valid; plugins change rarely."""
MISSING_TOOL_CACHE_SECONDS: Final = 0.5
"""How long it is valid for a tool that is not in it."""
PAGE_SIZE: Final = 500
LOOKUP_TIMEOUT: Final = 5.0
"""Seconds for one page of the list, and for a connection."""
RETRY_DELAYS: Final = (0.2, 0.5, 1.0)
"""Seconds to wait before each retry of a call whose connection broke."""

OUTCOME_UNKNOWN_CODES: Final = (
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "INTERNAL",
    "CANCELLED",
    "UNKNOWN",
    "DATA_LOSS",
)
"""Statuses that a call can end with after its tool has started; with any other one it was not run."""


class ToolsClient(ToolBox):
    """Lists and runs tools."""

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._stub = ToolServiceStub(channel)
        self._clock = clock
        self._tools: Mapping[str, Tool] = {}
        self._list_time = float("-inf")
        self._lock = asyncio.Lock()

    @override
    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        if self._is_stale(names):
            async with self._lock:
                if self._is_stale(names):
                    await self._list_tools()
        return {name: self._tools[name] for name in names if name in self._tools}

    @override
    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        await self._connect()
        for delay in RETRY_DELAYS:
            try:
                return await self._invoke_once(request)
            except grpc.aio.AioRpcError as error:
                remote = remote_error(error)
                if not _connection_broke(remote):
                    raise _tool_error(remote) from error
            await asyncio.sleep(delay)
        try:
            return await self._invoke_once(request)
        except grpc.aio.AioRpcError as error:
            raise _tool_error(remote_error(error)) from error

    async def _invoke_once(self, request: InvokeToolRequest) -> ToolOutcome:
        call = self._stub.InvokeTool(request, timeout=deadline.outgoing_timeout())
        outcome: ToolOutcome | None = None
        try:
            async for event in call:
                if event.HasField("result"):
                    outcome = event.result
        finally:
            call.cancel()
        if outcome is None:
            raise ToolOutcomeUnknown(
                "TOOL_WITHOUT_RESULT", f"The tool {request.tool} ended without a result."
            )
        return outcome

    async def _connect(self) -> None:
        """Waits for a connection: a call that fails before certainly did not run its tool."""
        if self._channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        try:
            async with asyncio.timeout(deadline.outgoing_timeout(LOOKUP_TIMEOUT)):
                await self._channel.channel_ready()
        except TimeoutError:
            raise ToolRefused("TOOLS_UNAVAILABLE", "The plugin service does not answer.") from None

    def _is_stale(self, names: Sequence[str]) -> bool:
        all_known = all(name in self._tools for name in names)
        max_age = CACHE_SECONDS if all_known else MISSING_TOOL_CACHE_SECONDS
        return self._clock() - self._list_time > max_age

    async def _list_tools(self) -> None:
        found: dict[str, Tool] = {}
        request = ListToolsRequest(page_size=PAGE_SIZE)
        try:
            while True:
                page = await self._stub.ListTools(request, timeout=deadline.outgoing_timeout(LOOKUP_TIMEOUT))
                found.update((tool.spec.name, tool) for tool in page.tools)
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
        except grpc.aio.AioRpcError as error:
            code = remote_error(error).code
            raise ToolRefused(
                "TOOLS_UNAVAILABLE", f"The plugin service did not list its tools ({code})."
            ) from error
        self._tools, self._list_time = found, self._clock()


def _connection_broke(error: RemoteError) -> bool:
    """Whether the connection broke; the call may have been running."""
    return error.code == "UNAVAILABLE" and error.domain != DOMAIN


def _tool_error(error: RemoteError) -> ToolRefused | ToolOutcomeUnknown:
    has_reason = error.domain == DOMAIN and bool(error.reason)
    reason = error.reason if has_reason else f"PLUGINS_{error.code}"
    message = error.message if has_reason else f"The plugin service answered {error.code}."
    if _connection_broke(error) or error.code in OUTCOME_UNKNOWN_CODES:
        return ToolOutcomeUnknown(reason, message)
    return ToolRefused(reason, message)
