"""A place of the conversation in the middle of a step: what may change there, and the states around it."""

from __future__ import annotations

from msgspec import Struct

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.machine.snapshot import Place

USER = "user"
"""What a spot waits for that waits for the person."""


_NOT_BUSY = frozenset(("", USER))


class Spot(Struct, eq=False):
    """The working copy of a Place; its fields are described there."""

    state: State
    result: object = None
    asked: str = ""
    misses: int = 0
    waiting_for: str = ""
    timer: str = ""
    resting: bool = False
    spoke: bool = False

    @classmethod
    def of(cls, place: Place, state: State) -> Spot:
        """The place, in its state."""
        return cls(
            state,
            place.result,
            place.asked,
            place.misses,
            place.waiting_for,
            place.timer,
            place.resting,
            place.spoke,
        )

    def place(self) -> Place:
        """What is kept of it."""
        return Place(
            self.state.name,
            self.asked,
            self.misses,
            self.waiting_for,
            self.timer,
            self.resting,
            self.spoke,
            self.result,
        )

    @property
    def busy(self) -> bool:
        """Whether a tool, the model or a subflow is at work for it."""
        return self.waiting_for not in _NOT_BUSY
