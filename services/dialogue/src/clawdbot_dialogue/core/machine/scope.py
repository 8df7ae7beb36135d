"""The scope of guards, templates and arguments, and their evaluation, errors included.

A guard that cannot be evaluated is false, and a placeholder without a value is shown as unknown. Neither
stops the conversation; both leave a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clawdbot_dialogue.core.flow.cel.expressions import Activation, EvaluationError, Expression
from clawdbot_dialogue.core.flow.model import Flow, Transition
from clawdbot_dialogue.core.flow.slots.scalars import format_boolean
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.templates import Placeholder, Template, format_json
from clawdbot_dialogue.core.machine.step_result import GuardEvaluated, Note, TraceEvent


class Scope:
    """The values that expressions see at one moment of a step."""

    __slots__ = ("_activation", "_flow", "_notes", "_state", "_trace", "_values")

    def __init__(
        self, flow: Flow, state: str, values: Mapping[str, object], notes: list[Note], trace: list[TraceEvent]
    ) -> None:
        """Takes the values of the moment.

        Args:
            flow: Declares the slots and the language.
            state: The path of the active state that they are for.
            values: The values of `slots`, `result`, `event` and `turn`.
            notes: Collects what could not be evaluated.
            trace: Collects each guard that is evaluated, and its result.
        """
        self._flow = flow
        self._state = state
        self._values = values
        self._notes = notes
        self._trace = trace
        self._activation = Activation(values)

    def first_enabled(self, transitions: Iterable[Transition]) -> Transition | None:
        """The first transition, in document order, that has no guard or whose guard passes."""
        for transition in transitions:
            guard = transition.guard
            passed = guard is None or self._passes(guard)
            text = guard.text if guard else ""
            to, source, number = transition.to, transition.source, transition.number
            self._trace.append(GuardEvaluated(self._flow.name, self._state, to, text, passed, source, number))
            if passed:
                return transition
        return None

    def render(self, template: Template) -> str:
        """The text of a template with its placeholders filled."""
        return template.render(self._values, self._show, self._missing)

    def evaluate(self, build: object) -> object:
        """The value of a call's argument.

        Raises:
            EvaluationError: an expression in it cannot be evaluated.
        """
        if isinstance(build, Expression):
            return build.value(self._activation)
        if isinstance(build, Template):
            return self.render(build)
        if isinstance(build, dict):
            return {key: self.evaluate(each) for key, each in build.items()}
        if isinstance(build, list):
            return [self.evaluate(each) for each in build]
        return build

    def _passes(self, guard: Expression) -> bool:
        try:
            return guard.holds(self._activation)
        except EvaluationError as error:
            self._note("guard-failed", str(error))
            return False

    def _show(self, gap: Placeholder, value: object) -> str:
        if gap.scope == "slots":
            slot: Slot | None = self._flow.slots[gap.path[0]]
            for key in gap.path[1:]:
                slot = slot and slot.part(key)
            if slot:
                return slot.format(value, self._flow.locale)
        return format_boolean(value, self._flow.locale) if isinstance(value, bool) else format_json(value)

    def _note(self, code: str, message: str) -> None:
        self._notes.append(Note(code, message, self._flow.name, self._state))

    def _missing(self, gap: Placeholder) -> str:
        self._note("value-missing", f"{{{gap.text}}} has no value")
        return self._flow.locale.messages["unknown"]
