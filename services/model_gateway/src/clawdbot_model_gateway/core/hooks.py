"""The port through which the gateway runs plugins' hooks."""

from __future__ import annotations

from typing import Final, Protocol

from clawdbot.plugins.v1.hook_service_pb2 import HookSubject

BEFORE_GENERATE: Final = "before_generate"
"""Gate hook point: may this request be answered?"""
GENERATION_DONE: Final = "generation_done"
"""Observer hook point: how a call ended and what it cost."""


class GenerationHooks(Protocol):
    """Runs the hooks of a point. A point without hooks MUST cost next to nothing."""

    def gates(self, point: str) -> bool:
        """Whether the point may have hooks that refuse."""

    async def gate(self, subject: HookSubject) -> None:
        """Returns when the call may go on; MUST raise when a hook refuses it."""

    def observes(self, point: str) -> bool:
        """Whether the point may have observers."""

    def observe(self, subject: HookSubject) -> None:
        """Notifies the observers. MUST neither wait nor raise."""
