"""Finds transitions that are never taken, because an earlier one is taken whenever they could be."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.lint.analysis.control_flow import own_transitions
from clawdbot_dialogue.core.flow.lint.analysis.guard_implication import Alternatives, alternatives, implies
from clawdbot_dialogue.core.flow.model import State, Transition
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

_MAX_COMPARED = 20
"""Earlier guards of one state that a guard is compared with: the work grows with the square."""
_ALWAYS: Alternatives = frozenset([frozenset()])


def check_unreachable_transitions(
    state: State, path: Path, document: Document, diagnostics: DiagnosticCollector
) -> None:
    """Warns of the transitions of a state that are never taken.

    Args:
        state: The state; transitions that it inherits are checked where they are declared.
        path: Its path in the document.
        document: The document that it is in.
        diagnostics: Receives the warnings.
    """
    earlier: dict[tuple[str, str], dict[Alternatives, Path]] = {}
    own = list(own_transitions(state))
    # Most states have one guard at most, which there is nothing to compare with.
    compare = sum(each.guard is not None for each in own) > 1
    for transition in sorted(own, key=lambda each: each.number):
        transition_path = (*path, "next", transition.number)
        condition = _condition(transition, compare=compare)
        kind = (transition.event, transition.on_error or "")
        before = {**(earlier.get(("", "any"), {}) if transition.on_error else {}), **earlier.get(kind, {})}
        _report(transition_path, condition, before, document, diagnostics)
        known = earlier.setdefault(kind, {})
        if len(known) < _MAX_COMPARED:
            known.setdefault(condition, transition_path)


def _condition(transition: Transition, *, compare: bool) -> Alternatives:
    if transition.guard is None:
        return _ALWAYS
    text = transition.guard.text
    if compare or "true" in text or "false" in text:
        return alternatives(text)
    return frozenset([frozenset([text])])


def _report(
    transition_path: Path,
    condition: Alternatives,
    before: dict[Alternatives, Path],
    document: Document,
    diagnostics: DiagnosticCollector,
) -> None:
    if not condition:
        message, hint = "This guard is never true.", "Correct it, or remove the transition."
    elif _ALWAYS in before:
        message, hint = "An earlier transition is always taken before this one.", "Move it up, or remove it."
    elif broader := next((path for other, path in before.items() if implies(condition, other)), None):
        line = document.at(broader).line
        message = f"The transition on line {line} is taken whenever this guard is true."
        hint = "Move it up, or remove it."
    else:
        return
    diagnostics.warning("shadowed", message, document.at(transition_path), hint)
