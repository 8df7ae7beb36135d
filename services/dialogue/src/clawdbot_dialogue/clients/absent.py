"""Stand-ins for peers that this installation does not have: every call fails at once, and says why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest, Tool, ToolOutcome
from typing_extensions import override

from clawdbot_dialogue.core.turns.ports import (
    GenerationError,
    ModelDirectory,
    ModelGateway,
    ModelsUnknown,
    ToolBox,
    ToolRefused,
)

NO_GATEWAY: Final = ("GATEWAY_NOT_CONFIGURED", "There is no model gateway: set peers.model_gateway.")
NO_PLUGINS: Final = ("PLUGINS_NOT_CONFIGURED", "There is no plugin service: set peers.plugins.")
"""Reason and message."""


class AbsentGateway(ModelGateway, ModelDirectory):
    """No model gateway."""

    @override
    async def models(self) -> Collection[str]:
        raise ModelsUnknown(*NO_GATEWAY)

    @override
    async def stream(
        self, request: StreamGenerateRequest, take: Callable[[StreamGenerateResponse], None]
    ) -> None:
        raise GenerationError(*NO_GATEWAY)


class AbsentTools(ToolBox):
    """No plugin service."""

    @override
    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        raise ToolRefused(*NO_PLUGINS)

    @override
    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        raise ToolRefused(*NO_PLUGINS)
