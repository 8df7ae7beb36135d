"""An active state during a step: the mutable copy of a StateRecord."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.machine.snapshot import StateRecord

USER = "user"
"""The value of `waiting_for` while the state waits for the person."""
_IDLE = frozenset(("", USER))


class ActiveState:
    """The mutable copy of a StateRecord, which describes its fields."""

    __slots__ = ("asked", "misses", "resting", "result", "spoke", "state", "timer", "waiting_for")

    def __init__(self, state: State, place: StateRecord) -> None:
        """Copies the record; `state` is the state that it names."""
        self.state = state
        self.result = place.result
        self.asked = place.asked
        self.misses = place.misses
        self.waiting_for = place.waiting_for
        self.timer = place.timer
        self.resting = place.resting
        self.spoke = place.spoke

    @classmethod
    def new(cls, state: State, result: object) -> ActiveState:
        """A state that was just entered, with the result that was passed on to it."""
        return cls(state, StateRecord(state.name, result=result))

    def to_record(self) -> StateRecord:
        """The record to store."""
        return StateRecord(
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
        """Whether it waits for a tool, a model or a subflow."""
        return self.waiting_for not in _IDLE
