"""Where a message falls: all that decides what it means besides its words."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from clawdbot_dialogue.core.flow.model import Flow


class Situation(Struct, frozen=True):
    """Where a message falls."""

    flow: Flow
    slots: Mapping[str, object]
    """The slots that have a value."""
    asked: str = ""
    """The slot, or part of one, that was asked for; empty where none."""
    collecting: bool = True
    """False where a model answers: small talk and cries for help are then its business."""
    others: tuple[Flow, ...] = ()
    """The flows that may be started from here."""
    parts: Mapping[str, object] = {}
    """The parts that are known of what has any, by their paths; of a list that grows, its items so far."""

    @property
    def known(self) -> Mapping[str, object]:
        """All that has a value: slots, and parts of slots."""
        return {**self.parts, **self.slots} if self.parts else self.slots
