"""HookService over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clawdbot.plugins.v1 import hook_service_pb2 as wire
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceServicer
from clawdbot_servicekit.structs import plain_from_request
from typing_extensions import override

from clawdbot_plugins.api.convert import (
    gate_result_to_wire,
    hook_context,
    modify_result_to_wire,
    subject_from_wire,
)
from clawdbot_plugins.core.hooks import HookRunner
from clawdbot_plugins.core.observers import Observers


class HookServicer(HookServiceServicer):
    """Runs hooks for the services whose operations they gate, modify or observe."""

    def __init__(self, hooks: HookRunner, observers: Observers, clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._observers = observers
        self._clock = clock

    @override
    async def Gate(self, request: wire.GateRequest, context: Any) -> wire.GateResponse:
        """Errors: UNAVAILABLE (HOOK_FAILED) if a hook that fails closed failed."""
        subject = subject_from_wire(request.subject)
        return gate_result_to_wire(await self._hooks.gate(subject, hook_context(subject, self._clock)))

    @override
    async def Modify(self, request: wire.ModifyRequest, context: Any) -> wire.ModifyResponse:
        """Errors: UNAVAILABLE (HOOK_FAILED) if a hook that fails closed failed."""
        subject = subject_from_wire(request.subject)
        hook_ctx = hook_context(subject, self._clock)
        return modify_result_to_wire(
            await self._hooks.modify(subject, plain_from_request(request.payload, "payload"), hook_ctx)
        )

    @override
    async def Observe(self, request: wire.ObserveRequest, context: Any) -> wire.ObserveResponse:
        subject = subject_from_wire(request.subject)
        return wire.ObserveResponse(
            dropped=self._observers.notify(subject, hook_context(subject, self._clock))
        )
