"""The context of a message: everything besides its text that decides what it means."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from clawdbot_dialogue.core.flow.model import Flow


class MessageContext(Struct, frozen=True):
    """The context of a message."""

    flow: Flow
    slots: Mapping[str, object]
    """The slots that have a value."""
    asked: str = ""
    """The path of the slot, or part of a slot, that was asked for; empty if none."""
    collecting: bool = True
    """False in a state where a model replies: small talk and requests for help are then left to the model."""
    startable_flows: tuple[Flow, ...] = ()
    """The flows that may be started in this state."""
    known_parts: Mapping[str, object] = {}
    """The known parts of composite slots, by path; of an unfinished list, the items so far."""

    @property
    def known(self) -> Mapping[str, object]:
        """Everything that has a value: slots, and parts of slots."""
        return {**self.known_parts, **self.slots} if self.known_parts else self.slots
