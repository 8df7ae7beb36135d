"""Tells keys that stand in a state whose kind has no use for them: what is written and ignored misleads."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.model import StateKind
from clawdbot_dialogue.core.flow.parse.source_model import StateSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

_HOLDING: tuple[StateKind, ...] = ("compound", "parallel")
"""What such a state has besides, those within it inherit."""
_COLLECTING: tuple[StateKind, ...] = ("collect",)
_FAILING: tuple[StateKind, ...] = ("call", "generate", "subflow", *_HOLDING)
_WAITING: tuple[StateKind, ...] = ("collect", "generate", "handoff", "say", "choice", *_HOLDING)
"""say and choice wait where no transition of theirs can be taken."""
_ENTERED: tuple[StateKind, ...] = (
    "collect", "say", "generate", "call", "subflow", "handoff", "choice", "end", *_HOLDING,
)  # fmt: skip

_STATE_KEYS: Mapping[str, tuple[StateKind, ...]] = {
    "wait": ("generate",),
    "no_match": (*_COLLECTING, *_HOLDING),
    "instructions": _COLLECTING,
    "model": _COLLECTING,
    "tools": _COLLECTING,
    "timeout": _WAITING,
    "initial": ("compound",),
    "say": _ENTERED,
    "entry": _ENTERED,
    "exit": _ENTERED,
}
_TRANSITION_KEYS: Mapping[str, tuple[StateKind, ...]] = {
    "on_error": _FAILING,
    "event": _WAITING,
    "internal": ("compound",),
}
_TOLD: Mapping[StateKind, str] = {"compound": "states", "end": "end: true"}
"""The key that makes the kind, where it is not the kind's name."""


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
        what = f"a {kind} state" if kind != "end" else "a state that ends"
        keys = " or ".join(_TOLD.get(each, each) for each in kinds if each != "choice")
        hint = f"It belongs in a state with {keys}."
        message = f'"{place[-1]}" has no meaning in {what}.'
        findings.error("misplaced-key", message, document.key_at(place), hint)
    if kind == "history" and len(path) == 2:
        message = "A history state lies within another one: it stands for what was left there last."
        findings.error("misplaced-key", message, document.key_at((*path, "history")), "Move it there.")
