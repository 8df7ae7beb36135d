"""The plugin service's tools as the engine's ToolBox.

What there is is looked up now and then, not with every turn. A call whose connection breaks is made again,
under the same request_id: the plugin service runs a tool of effect `once` once for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc.aio
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest, ListToolsRequest, Tool, ToolOutcome
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.status_details import DOMAIN

from clawdbot_dialogue.core.turns.ports import ToolOutcomeUnknown, ToolRefused

CACHE_SECONDS: Final = 5.0
"""Seconds for which the list of tools is taken as it is; plugins change rarely."""
MISSING_TOOL_CACHE_SECONDS: Final = 0.5
"""The same, where a tool is asked for that is not in it."""
PAGE_SIZE: Final = 500
LOOKUP_TIMEOUT: Final = 5.0
"""Seconds that the list may take, and a connection."""
RETRY_DELAYS: Final = (0.2, 0.5, 1.0)
"""Seconds before a call is made again whose connection broke."""

OUTCOME_UNKNOWN_CODES: Final = (
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "INTERNAL",
    "CANCELLED",
    "UNKNOWN",
    "DATA_LOSS",
)
"""Statuses that a tool may have come to after it had begun; with any other one it was not run."""


class ToolsClient:
    """Lists and runs tools."""

    def __init__(self, channel: grpc.aio.Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._stub = ToolServiceStub(channel)
        self._clock = clock
        self._known: Mapping[str, Tool] = {}
        self._learnt = float("-inf")
        self._learning = asyncio.Lock()

    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        """See ToolBox."""
        if self._stale(names):
            async with self._learning:
                if self._stale(names):
                    await self._learn()
        return {name: self._known[name] for name in names if name in self._known}

    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        """See ToolBox."""
        await self._connected()
        for pause in RETRY_DELAYS:
            try:
                return await self._run(request)
            except grpc.aio.AioRpcError as error:
                fault = remote_error(error)
                if not _broken(fault):
                    raise _failure(fault) from error
            await asyncio.sleep(pause)
        try:
            return await self._run(request)
        except grpc.aio.AioRpcError as error:
            raise _failure(remote_error(error)) from error

    async def _run(self, request: InvokeToolRequest) -> ToolOutcome:
        call = self._stub.InvokeTool(request, timeout=deadline.outgoing())
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

    async def _connected(self) -> None:
        """Returns where there is somebody to ask: what fails before is certainly not run."""
        try:
            async with asyncio.timeout(deadline.outgoing(LOOKUP_TIMEOUT)):
                await self._channel.channel_ready()
        except TimeoutError:
            raise ToolRefused("TOOLS_UNAVAILABLE", "The plugin service does not answer.") from None

    def _stale(self, names: Sequence[str]) -> bool:
        age = self._clock() - self._learnt
        return age > (
            CACHE_SECONDS if all(name in self._known for name in names) else MISSING_TOOL_CACHE_SECONDS
        )

    async def _learn(self) -> None:
        found: dict[str, Tool] = {}
        request = ListToolsRequest(page_size=PAGE_SIZE)
        try:
            while True:
                page = await self._stub.ListTools(request, timeout=deadline.outgoing(LOOKUP_TIMEOUT))
                found.update((tool.spec.name, tool) for tool in page.tools)
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
        except grpc.aio.AioRpcError as error:
            fault = remote_error(error)
            raise ToolRefused(
                "TOOLS_UNAVAILABLE", f"The plugin service cannot be asked for its tools ({fault.code})."
            ) from error
        self._known, self._learnt = found, self._clock()


def _broken(fault: RemoteError) -> bool:
    """Whether the connection broke, with the call on it perhaps under way."""
    return fault.code == "UNAVAILABLE" and fault.domain != DOMAIN


def _failure(fault: RemoteError) -> ToolRefused | ToolOutcomeUnknown:
    ours = fault.domain == DOMAIN and bool(fault.reason)
    reason = fault.reason if ours else f"PLUGINS_{fault.code}"
    message = fault.message if ours else f"The plugin service answered {fault.code}."
    if _broken(fault) or fault.code in OUTCOME_UNKNOWN_CODES:
        return ToolOutcomeUnknown(reason, message)
    return ToolRefused(reason, message)
