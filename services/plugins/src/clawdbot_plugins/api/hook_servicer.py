"""HookService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clawdbot.plugins.v1 import hook_service_pb2 as wire
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceServicer
from clawdbot_servicekit.structs import given

from clawdbot_plugins.api.convert import answer_to_wire, hook_context, modified_to_wire, subject_from_wire
from clawdbot_plugins.core.hooks import Hooks
from clawdbot_plugins.core.observers import Observers


class HookServicer(HookServiceServicer):
    """Runs hooks for the services whose points they stand at."""

    def __init__(self, hooks: Hooks, observers: Observers, clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._observers = observers
        self._clock = clock

    async def Gate(self, request: wire.GateRequest, context: Any) -> wire.GateResponse:
        """As the contract says."""
        subject = subject_from_wire(request.subject)
        return answer_to_wire(await self._hooks.gate(subject, hook_context(subject, self._clock)))

    async def Modify(self, request: wire.ModifyRequest, context: Any) -> wire.ModifyResponse:
        """As the contract says. Errors: UNAVAILABLE (HOOK_FAILED) from a hook that must not fail."""
        subject = subject_from_wire(request.subject)
        about = hook_context(subject, self._clock)
        return modified_to_wire(await self._hooks.modify(subject, given(request.payload, "payload"), about))

    async def Observe(self, request: wire.ObserveRequest, context: Any) -> wire.ObserveResponse:
        """As the contract says."""
        subject = subject_from_wire(request.subject)
        return wire.ObserveResponse(dropped=self._observers.tell(subject, hook_context(subject, self._clock)))
