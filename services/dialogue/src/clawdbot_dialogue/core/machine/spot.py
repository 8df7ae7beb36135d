"""A place of the conversation in the middle of a step: what may change there, and the states around it."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.machine.snapshot import Place

USER = "user"
"""What a spot waits for that waits for the person."""


class Spot:
    """The working copy of a Place; its fields are described there."""

    __slots__ = ("asked", "misses", "resting", "result", "spoke", "state", "timer", "waiting_for")

    def __init__(self, state: State, result: object = None) -> None:
        self.state = state
        self.result = result
        self.asked = ""
        self.misses = 0
        self.waiting_for = ""
        self.timer = ""
        self.resting = False
        self.spoke = False

    @classmethod
    def of(cls, place: Place, state: State) -> Spot:
        """The place, in its state."""
        spot = cls(state, place.result)
        spot.asked = place.asked
        spot.misses = place.misses
        spot.waiting_for = place.waiting_for
        spot.timer = place.timer
        spot.resting = place.resting
        spot.spoke = place.spoke
        return spot

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
        return self.waiting_for not in ("", USER)
