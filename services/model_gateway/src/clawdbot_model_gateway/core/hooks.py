"""What the gateway wants of whoever runs plugins' hooks."""

from __future__ import annotations

from typing import Final, Protocol

from clawdbot.plugins.v1.hook_service_pb2 import HookSubject

BEFORE_GENERATE: Final = "before_generate"
"""A gate: may this request be answered?"""
GENERATION_DONE: Final = "generation_done"
"""For observers: how it ended and what it cost."""


class GenerationHooks(Protocol):
    """Runs the hooks of a point. A point nobody registered for MUST cost next to nothing."""

    async def gate(self, subject: HookSubject) -> None:
        """Returns when it may go on; MUST raise when a hook refuses."""

    def observes(self, point: str) -> bool:
        """Whether anybody may want to be told of the point."""

    def observe(self, subject: HookSubject) -> None:
        """Tells what has happened. MUST neither wait nor raise."""
