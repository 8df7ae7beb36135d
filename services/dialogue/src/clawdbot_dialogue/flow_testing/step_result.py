"""What happened in one step of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CommandsGenerated,
    Effect,
    Failed,
    Say,
    StateEntered,
)
from clawdbot_dialogue.core.machine.step_result import Note


@dataclass(slots=True)
class ConversationStepResult:
    """What was said, called, understood and entered, each in order."""

    replies: list[str] = field(default_factory=list)
    tool_calls: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """Names, with an exclamation mark if rejected."""
    path: list[tuple[str, str]] = field(default_factory=list)
    """(flow, state)."""
    failures: list[str] = field(default_factory=list)
    """Reasons of the failures that the machine reported."""
    notes: list[Note] = field(default_factory=list)

    def record(self, effects: Iterable[Effect], notes: Iterable[Note]) -> None:
        """Adds the effects and notes of one step of the machine."""
        self.notes += notes
        for effect in effects:
            match effect:
                case Say(text):
                    self.replies.append(text)
                case CallTool(_, tool, arguments, _):
                    self.tool_calls.append((tool, arguments))
                case CommandsGenerated(commands):
                    self.commands += [each.name if each.accepted else f"{each.name}!" for each in commands]
                case StateEntered(flow, state):
                    self.path.append((flow, state))
                case Failed(reason, _):
                    self.failures.append(reason)

    def extend(self, later: ConversationStepResult) -> None:
        """Adds what happened after it."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(later, name))

    @property
    def entered(self) -> set[tuple[str, str]]:
        """The states on the path."""
        return set(self.path)
