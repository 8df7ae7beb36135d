"""Tells keys that stand in a state whose kind has no use for them: what is written and ignored misleads."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.model import StateKind
from clawdbot_dialogue.core.flow.reading import Document, Path
from clawdbot_dialogue.core.flow.source import StateSource

_COLLECTING: tuple[StateKind, ...] = ("collect",)
_FAILING: tuple[StateKind, ...] = ("call", "generate")
_WAITING: tuple[StateKind, ...] = ("collect", "generate", "handoff", "say", "choice")
"""say and choice wait where no transition of theirs can be taken."""

_STATE_KEYS: Mapping[str, tuple[StateKind, ...]] = {
    "wait": ("generate",),
    "no_match": _COLLECTING,
    "instructions": _COLLECTING,
    "model": _COLLECTING,
    "tools": _COLLECTING,
    "timeout": _WAITING,
}
_TRANSITION_KEYS: Mapping[str, tuple[StateKind, ...]] = {"on_error": _FAILING, "event": _WAITING}


def misplaced_keys(
    kind: StateKind, state: StateSource, document: Document, path: Path, findings: Findings
) -> None:
    """Tells the keys of a state, and of its transitions, that its kind does not read.

    Args:
        kind: The state's kind.
        state: Its source.
        document: Where it stands.
        path: The place of the state.
        findings: Takes the diagnostics.
    """
    found = [
        ((*path, key), kinds)
        for key, kinds in _STATE_KEYS.items()
        if key in state.model_fields_set and kind not in kinds
    ]
    for at, transition in enumerate(state.next):
        found += [
            ((*path, "next", at, key), kinds)
            for key, kinds in _TRANSITION_KEYS.items()
            if key in transition.model_fields_set and kind not in kinds
        ]
    for place, kinds in found:
        what = f"a {kind} state" if kind != "end" else "a state that ends the flow"
        hint = f"It belongs in a state with {' or '.join(each for each in kinds if each != 'choice')}."
        message = f'"{place[-1]}" has no meaning in {what}.'
        findings.error("misplaced-key", message, document.key_at(place), hint)
