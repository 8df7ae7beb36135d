"""Flows for tests, and a short way to drive a conversation on the pure machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from textwrap import dedent

from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry, shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CommandsGenerated,
    Effect,
    Failed,
    Generate,
    Interpret,
    Say,
    StateEntered,
)
from clawdbot_dialogue.core.machine.events import (
    Event,
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    InterpretationFailed,
    Interpreted,
    Started,
    TimerFired,
    ToolReturned,
    UserSaid,
)
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.machine.step import begin, step
from clawdbot_dialogue.core.machine.step_result import Note, StepResult
from clawdbot_dialogue.core.understanding.llm_commands import Proposal

NOW = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001  # a person's local time, whose zone is unknown
"""A Tuesday."""


def compiled(body: str, name: str = "f") -> Flow:
    """The flow with this body; `flow` and `version` are added before it."""
    return load_flow(f"flow: {name}\nversion: 1\n{dedent(body)}", f"{name}.yaml")


def library(*flows: Flow) -> FlowRegistry:
    """A registry with the shipped flows and these."""
    registry = FlowRegistry()
    for file, source in shipped_flows():
        registry.add(load_flow(source, file))
    for flow in flows:
        registry.add(flow)
    return registry


@dataclass
class Talk:
    """A running conversation, with the result of its last event."""

    flows: FlowLookup
    snapshot: Snapshot
    last: StepResult = field(init=False)

    @classmethod
    def about(cls, flow: Flow, *others: Flow, slots: Mapping[str, object] | None = None) -> Talk:
        """Starts a conversation in the flow; the others may interrupt it."""
        talk = cls(library(flow, *others).get, begin(flow, slots or {}))
        talk.give(Started())
        return talk

    def give(self, event: Event) -> Talk:
        """Sends an event to the machine."""
        self.last = step(self.flows, self.snapshot, event)
        self.snapshot = self.last.snapshot
        return self

    def say(self, text: str, now: datetime = NOW) -> Talk:
        return self.give(UserSaid(text, now))

    def event(self, name: str, **data: object) -> Talk:
        return self.give(EventReceived(name, data, NOW))

    def returns(self, result: object, **flags: bool) -> Talk:
        """Answers the pending tool call."""
        return self.give(
            ToolReturned(self.call.call_id, result, flags.get("is_error", False), flags.get("unknown", False))
        )

    def writes(self, text: str) -> Talk:
        """Answers the pending generation."""
        return self.give(GenerationFinished(self.generation.generation_id, text))

    def breaks(self) -> Talk:
        """Fails the pending generation."""
        return self.give(GenerationFailed(self.generation.generation_id, "UNAVAILABLE", "gone"))

    def means(self, *proposals: tuple[str, dict[str, object]]) -> Talk:
        """Answers the pending interpretation with commands."""
        request = self.interpret
        commands = tuple(Proposal(name, arguments) for name, arguments in proposals)
        return self.give(Interpreted(request.interpretation_id, commands, request.pending_message))

    def means_nothing(self) -> Talk:
        """Fails the pending interpretation."""
        request = self.interpret
        return self.give(
            InterpretationFailed(request.interpretation_id, "UNAVAILABLE", "gone", request.pending_message)
        )

    def ring(self, now: datetime = NOW) -> Talk:
        """Fires the first timer."""
        return self.give(TimerFired(self.timer, now))

    @property
    def timer(self) -> str:
        """The id of the first timer; empty if there is none."""
        return next(iter(self.snapshot.timers), "")

    def _all(self, kind: type) -> list:
        return [each for each in self.last.effects if isinstance(each, kind)]

    @property
    def call(self) -> CallTool:
        return self._all(CallTool)[-1]

    @property
    def generation(self) -> Generate:
        return self._all(Generate)[-1]

    @property
    def interpret(self) -> Interpret:
        return self._all(Interpret)[-1]

    @property
    def replies(self) -> list[str]:
        return [each.text for each in self._all(Say)]

    @property
    def path(self) -> list[str]:
        return [each.state for each in self._all(StateEntered)]

    @property
    def commands(self) -> list[tuple[str, str, object, bool]]:
        """(name, target, value, accepted) of each command."""
        return [
            (c.name, c.target, c.value, c.accepted)
            for each in self._all(CommandsGenerated)
            for c in each.commands
        ]

    @property
    def failures(self) -> list[str]:
        return [each.reason for each in self._all(Failed)]

    @property
    def notes(self) -> tuple[Note, ...]:
        return self.last.notes

    @property
    def effects(self) -> tuple[Effect, ...]:
        return self.last.effects

    @property
    def state(self) -> str:
        return self.snapshot.state

    @property
    def slots(self) -> Mapping[str, object]:
        return self.snapshot.slots
