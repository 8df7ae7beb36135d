"""A place of the conversation in the middle of a step: what may change there, and the states around it."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.machine.snapshot import Place

USER = "user"
"""What a spot waits for that waits for the person."""


_NOT_BUSY = frozenset(("", USER))


class Spot:
    """The working copy of a Place; its fields are described there."""

    __slots__ = ("asked", "misses", "resting", "result", "spoke", "state", "timer", "waiting_for")

    def __init__(self, state: State, place: Place) -> None:
        """Begins as the place is, in its state."""
        self.state = state
        self.result = place.result
        self.asked = place.asked
        self.misses = place.misses
        self.waiting_for = place.waiting_for
        self.timer = place.timer
        self.resting = place.resting
        self.spoke = place.spoke

    @classmethod
    def new(cls, state: State, result: object) -> Spot:
        """A state just come to, with the result that goes on with it."""
        return cls(state, Place(state.name, result=result))

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
