"""Where a conversation stands: all that the machine remembers between two events, and nothing else.

A snapshot is immutable and becomes JSON and back without loss. Its dictionaries are never changed in place; whoever
holds one must not change them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from clawdbot_dialogue.core.flow.model import Flow

Status = Literal["active", "handed_off", "ended"]


class SnapshotInvalid(ValueError):
    """What was stored is not a snapshot of these flows; `explanation` says why, in one sentence."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class FlowLookup(Protocol):
    """Finds flows; FlowLibrary.get is one."""

    def __call__(self, name: str, version: int | None = None, /) -> Flow:
        """The flow, the newest version for None. MUST raise FlowNotFound(name, version)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One flow on the stack; the last is the one that talks, those below wait for it to end."""

    flow: str
    version: int
    state: str
    slots: Mapping[str, object]
    """Slots that have a value, JSON-able."""
    asked: str = ""
    """The slot that was asked for last, while its answer is awaited."""
    misses: int = 0
    """Messages in a row that were not understood in this state."""
    passed: tuple[str, ...] = ()
    """Collecting states gone through since the last call with effect `once`: as far as a correction reaches back."""
    resting: bool = False
    """True in a state that has nothing more to do: the next message starts over from the initial state."""
    result: object = None
    """What the last tool of this flow returned."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole conversation. Made by `begin`, changed by `step` alone."""

    frames: tuple[Frame, ...]
    status: Status = "active"
    handoff_queue: str = ""
    """The queue, while handed off."""
    waiting_for: str | None = None
    """None before Started and after the end; "user"; or the id of the call or generation whose end is awaited."""
    timer: str = ""
    """The id of the timer that is set; empty for none."""
    ids: int = 0
    """How many ids were given out; the next is made from it."""
    turn: Mapping[str, object] = field(default_factory=dict)
    """What guards see as `turn`: number, date and time of the last message or event."""

    @property
    def flow(self) -> str:
        """The name of the flow that talks."""
        return self.frames[-1].flow

    @property
    def version(self) -> int:
        """Its version."""
        return self.frames[-1].version

    @property
    def state(self) -> str:
        """Its state, a dotted path where states nest."""
        return self.frames[-1].state

    @property
    def slots(self) -> Mapping[str, object]:
        """Its slots that have a value, JSON-able."""
        return self.frames[-1].slots
