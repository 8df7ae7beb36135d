"""What a step comes to."""

from __future__ import annotations

from msgspec import Struct

from clawdbot_dialogue.core.machine.effects import Effect
from clawdbot_dialogue.core.machine.notes import Note
from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.core.machine.trace import Traced


class Step(Struct, frozen=True):
    """What an event led to."""

    snapshot: Snapshot
    effects: tuple[Effect, ...]
    notes: tuple[Note, ...] = ()
    trace: tuple[Traced, ...] = ()
    """Why, for whoever asks."""
