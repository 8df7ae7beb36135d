"""Plugins' hooks, for the services whose turns and generations they watch over.

A client of HookService that follows the registry, so that a point nobody registered for costs a dict lookup and
no call. What the hooks do, and in which order, is the plugin service's business.
"""

from __future__ import annotations

import grpc.aio
from google.protobuf.struct_pb2 import Struct

from clawdbot.plugins.v1.hook_service_pb2 import HookSubject


class HookRefused(Exception):
    """A gate hook said no, or could not say yes. PERMISSION_DENIED with the hook's own reason."""

    def __init__(self, plugin: str, reason: str, message: str, retry_after: float | None = None) -> None:
        self.plugin = plugin
        self.reason = reason
        """UPPER_SNAKE, as the hook gave it: "RATE_LIMITED"."""
        self.message = message
        """One sentence for the caller."""
        self.retry_after = retry_after
        """Seconds; None where waiting does not help."""
        super().__init__(f"{plugin}: {reason}: {message}")


class HookLimited(HookRefused):
    """A refusal that time heals: `retry_after` is set. RESOURCE_EXHAUSTED with RetryInfo."""

    retry_after: float


class HooksUnavailable(Exception):
    """A hook must be asked and the plugin service does not answer. UNAVAILABLE (HOOKS_UNAVAILABLE)."""

    def __init__(self, point: str, explanation: str, retry_after: float = 1.0) -> None:
        self.point = point
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(f"{point}: {explanation}")


class Hooks:
    """Runs the hooks of a point wherever the plugin service is. One per service; start once, stop once.

    Add HOOK_RULES of this module to the service's ErrorTable: it knows the three exceptions above.
    """

    def __init__(self, channel: grpc.aio.Channel, *, queue: int = 1000) -> None:
        """Args:
        channel: to the plugin service; `peers.channel("plugins")`.
        queue: events waiting to be told to observers; more are dropped and counted.
        """
        raise NotImplementedError

    async def start(self) -> None:
        """Begins to follow the registry; does not wait for it."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Tells what is queued, for a moment at most, and ends. Safe without a start, and twice."""
        raise NotImplementedError

    async def check(self) -> None:
        """For Application.check: raises NotReady until the registry was seen once."""
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Events that no observer was told, since the start."""
        raise NotImplementedError

    async def gate(self, subject: HookSubject) -> None:
        """Returns when every gate hook of `subject.point` agrees.

        Raises:
            HookRefused: one of them does not (HookLimited where it says when to come again).
            HooksUnavailable: one must be asked and cannot be, within the call's deadline.
        """
        raise NotImplementedError

    async def modify(self, subject: HookSubject, payload: Struct) -> Struct:
        """The payload as the modify hooks of `subject.point` leave it; the same object where there are none.

        Raises:
            HooksUnavailable: a hook that is registered to fail closed cannot be reached.
        """
        raise NotImplementedError

    def observe(self, subject: HookSubject) -> None:
        """Queues the event for the observers of `subject.point`. Neither waits nor raises.

        The subject is not copied: leave it alone afterwards.
        """
        raise NotImplementedError
