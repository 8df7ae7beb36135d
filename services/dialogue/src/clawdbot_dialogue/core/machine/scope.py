"""What guards, texts and arguments see, and how they are worked out, faults included.

A guard that fails is false, and a gap without a value says so: neither stops the conversation, both leave a
note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clawdbot_dialogue.core.flow.cel.expressions import Activation, EvaluationFailed, Expression
from clawdbot_dialogue.core.flow.model import Flow, Transition
from clawdbot_dialogue.core.flow.slots.scalars import yes_or_no
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.templates import Gap, Template, show_json
from clawdbot_dialogue.core.machine.step_result import GuardEvaluated, Note, TraceEvent


class Scope:
    """The values of one moment."""

    __slots__ = ("_activation", "_flow", "_notes", "_state", "_trace", "_values")

    def __init__(
        self, flow: Flow, state: str, values: Mapping[str, object], notes: list[Note], trace: list[TraceEvent]
    ) -> None:
        """Takes a moment's values.

        Args:
            flow: Declares the slots and the language.
            state: The path of the state whose moment it is.
            values: What `slots`, `result`, `event` and `turn` are.
            notes: Takes what failed.
            trace: Takes each transition that is looked at, and whether it holds.
        """
        self._flow = flow
        self._state = state
        self._values = values
        self._notes = notes
        self._trace = trace
        self._activation = Activation(values)

    def first(self, transitions: Iterable[Transition]) -> Transition | None:
        """The first transition, in document order, that has no guard or whose guard holds."""
        for transition in transitions:
            guard = transition.guard
            held = guard is None or self._holds(guard)
            written = guard.text if guard else ""
            to, source, number = transition.to, transition.source, transition.number
            self._trace.append(
                GuardEvaluated(self._flow.name, self._state, to, written, held, source, number)
            )
            if held:
                return transition
        return None

    def text(self, template: Template) -> str:
        """A text with its gaps filled."""
        return template.fill(self._values, self._show, self._missing)

    def argument(self, build: object) -> object:
        """What a call is given.

        Raises:
            EvaluationFailed: an expression in it has no value.
        """
        if isinstance(build, Expression):
            return build.value(self._activation)
        if isinstance(build, Template):
            return self.text(build)
        if isinstance(build, dict):
            return {key: self.argument(each) for key, each in build.items()}
        if isinstance(build, list):
            return [self.argument(each) for each in build]
        return build

    def _holds(self, guard: Expression) -> bool:
        try:
            return guard.holds(self._activation)
        except EvaluationFailed as failure:
            self._note("guard-failed", str(failure))
            return False

    def _show(self, gap: Gap, value: object) -> str:
        if gap.scope == "slots":
            slot: Slot | None = self._flow.slots[gap.path[0]]
            for key in gap.path[1:]:
                slot = slot and slot.part(key)
            if slot:
                return slot.show(value, self._flow.locale)
        return yes_or_no(value, self._flow.locale) if isinstance(value, bool) else show_json(value)

    def _note(self, code: str, message: str) -> None:
        self._notes.append(Note(code, message, self._flow.name, self._state))

    def _missing(self, gap: Gap) -> str:
        self._note("value-missing", f"{{{gap.text}}} has no value")
        return self._flow.locale.wording["unknown"]
