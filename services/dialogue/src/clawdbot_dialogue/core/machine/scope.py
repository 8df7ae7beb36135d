"""What guards, texts and arguments see, and how they are worked out, faults included.

A guard that fails is false, and a gap without a value says so: neither stops the conversation, both leave a
note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from clawdbot_dialogue.core.flow.expressions import Activation, EvaluationFailed, Expression
from clawdbot_dialogue.core.flow.model import Flow, Transition
from clawdbot_dialogue.core.flow.slots import SlotRefused, show_limit
from clawdbot_dialogue.core.flow.templates import Gap, Template, show_json


class Scope:
    """The values of one moment."""

    __slots__ = ("_activation", "_flow", "_note", "_tried", "_values")

    def __init__(
        self,
        flow: Flow,
        values: Mapping[str, object],
        note: Callable[[str, str], None],
        tried: Callable[[Transition, bool], None],
    ) -> None:
        """Takes a moment's values.

        Args:
            flow: Declares the slots and the language.
            values: What `slots`, `result`, `event` and `turn` are.
            note: Told (code, message) of what failed.
            tried: Told of each transition that is looked at, and whether it holds.
        """
        self._flow = flow
        self._values = values
        self._note = note
        self._tried = tried
        self._activation = Activation(values)

    def first(self, transitions: Iterable[Transition]) -> Transition | None:
        """The first transition, in document order, that has no guard or whose guard holds."""
        for transition in transitions:
            held = transition.guard is None or self._holds(transition.guard)
            self._tried(transition, held)
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
        if gap.scope == "slots" and len(gap.path) == 1:
            return show_slot(self._flow, gap.path[0], value)
        return _yes_no(self._flow, value) if isinstance(value, bool) else show_json(value)

    def _missing(self, gap: Gap) -> str:
        self._note("value-missing", f"{{{gap.text}}} has no value")
        return self._flow.locale.wording["unknown"]


def show_slot(flow: Flow, name: str, value: object) -> str:
    """A slot's value in the flow's language: "Tuesday, 1 December 2026"."""
    if isinstance(value, bool):
        return _yes_no(flow, value)
    if flow.slots[name].type == "date" and isinstance(value, str):
        return flow.locale.show_date(date.fromisoformat(value))
    if flow.slots[name].type == "duration" and isinstance(value, int):
        return flow.locale.show_duration(value)
    if flow.slots[name].type == "money" and isinstance(value, Mapping):
        return flow.locale.show_amount(value["amount"], value["currency"])
    return show_json(value)


def refusal(flow: Flow, name: str, refused: SlotRefused) -> str:
    """Why a value does not fit, in the flow's language."""
    slot = flow.slots[name]
    return flow.locale.wording[refused.purpose].format(
        name=slot.spoken, limit=show_limit(flow, slot, refused.limit)
    )


def _yes_no(flow: Flow, value: bool) -> str:
    return flow.locale.wording["yes" if value else "no"]
