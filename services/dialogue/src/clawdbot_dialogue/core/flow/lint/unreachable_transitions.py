"""Finds transitions that are never taken, for one before them is taken wherever they would be."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.lint.guards import Alternatives, alternatives, implies
from clawdbot_dialogue.core.flow.model import State, Transition
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

_MOST_COMPARED = 20
"""Earlier guards of one state that a guard is held against: the work grows with their square."""
_ALWAYS: Alternatives = frozenset([frozenset()])


def shadowed(state: State, path: Path, document: Document, findings: Findings) -> None:
    """Tells which transitions of a state are never taken.

    Args:
        state: The state; what it has from those that hold it is left to them.
        path: Where it is written.
        document: The document that it is written in.
        findings: Takes the warnings.
    """
    earlier: dict[tuple[str, str], dict[Alternatives, Path]] = {}
    own = [way for way in (*state.next, *state.errors, *state.events) if way.source == state.name]
    # One guard alone has none to be compared with, as most have.
    read = sum(way.guard is not None for way in own) > 1
    for way in sorted(own, key=lambda each: each.number):
        place = (*path, "next", way.number)
        says = _says(way, read=read)
        kind = (way.event, way.on_error or "")
        before = {**(earlier.get(("", "any"), {}) if way.on_error else {}), **earlier.get(kind, {})}
        _tell(place, says, before, document, findings)
        known = earlier.setdefault(kind, {})
        if len(known) < _MOST_COMPARED:
            known.setdefault(says, place)


def _says(way: Transition, *, read: bool) -> Alternatives:
    if way.guard is None:
        return _ALWAYS
    text = way.guard.text
    return alternatives(text) if read or "true" in text or "false" in text else frozenset([frozenset([text])])


def _tell(
    place: Path,
    says: Alternatives,
    before: dict[Alternatives, Path],
    document: Document,
    findings: Findings,
) -> None:
    if not says:
        message, hint = "Its guard is never true.", "Remove the transition."
    elif _ALWAYS in before:
        message, hint = "An earlier transition is always taken before this one.", "Move it up."
    elif broader := next((path for other, path in before.items() if implies(says, other)), None):
        line = document.at(broader).line
        message = f"The transition on line {line} is taken wherever this guard holds."
        hint = "Move it up, or remove it."
    else:
        return
    findings.warning("shadowed", message, document.at(place), hint)
