"""Steps the machine through a turn and records its effects, up to each one that has to be carried out.

The one place where a turn drives the machine. It calls no tool and no model, and it never waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog

from clawdbot_dialogue.core.machine import effects
from clawdbot_dialogue.core.machine.events import Event, Started
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.machine.step import step
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)

RECORDED_EFFECTS: Final[Mapping[type, Callable[[TurnRecord, Any], None]]] = {
    effects.CommandsGenerated: TurnRecord.commands_generated,
    effects.StateEntered: TurnRecord.state_entered,
    effects.SlotChanged: TurnRecord.slot_changed,
    effects.Say: TurnRecord.say,
    effects.HandOff: TurnRecord.handed_off,
    effects.SetTimer: TurnRecord.timer_set,
    effects.CancelTimer: TurnRecord.timer_cancelled,
    effects.Ended: lambda _record, _effect: None,  # the snapshot's status says so
}
"""Effects that only have to be recorded, and how."""


class StepLoop:
    """Drives the machine through one turn: call `next_effect` until it returns None."""

    def __init__(self, flows: FlowLookup, record: TurnRecord, snapshot: Snapshot, event: Event) -> None:
        self.snapshot = snapshot
        """The conversation as the last step left it."""
        self._flows = flows
        self._record = record
        self._events = deque([event])
        self._effects: Iterator[effects.Effect] = iter(())
        if not isinstance(event, Started) and snapshot.waiting_for is None and snapshot.status == "active":
            # The opening turn failed or was cancelled: the flow has not started yet.
            self._events.appendleft(Started())

    def next_effect(self) -> effects.Effect | None:
        """Returns the next effect to carry out; None once the machine waits for the person, or has ended.

        Raises:
            FlowNotFound: a flow of the session is not installed in its version.
            SnapshotInvalid: the flow does not have the state that the session is in.
        """
        while True:
            for effect in self._effects:
                record_effect = RECORDED_EFFECTS.get(type(effect))
                if record_effect is None:
                    return effect
                record_effect(self._record, effect)
            if not self._events:
                return None
            self._step(self._events.popleft())

    def add_event(self, event: Event) -> None:
        """Takes the outcome of the effect that `next_effect` returned last: the machine gets it next."""
        self._events.appendleft(event)

    def _step(self, event: Event) -> None:
        result = step(self._flows, self.snapshot, event)
        self.snapshot = result.snapshot
        self._effects = iter(result.effects)
        self._record.explanation.add_step(result)
        for note in result.notes:
            _log.info("machine_note", code=note.code, flow=note.flow, state=note.state)
