"""Reports keys that have no effect in a state of their kind: a key that is ignored misleads."""

from __future__ import annotations

from collections.abc import Mapping

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import StateKind
from clawdbot_dialogue.core.flow.parse.source_model import StateSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

_COMPOSITE: tuple[StateKind, ...] = ("compound", "parallel")
"""Their children inherit from them, so they may have the keys of any child."""
_COLLECTING: tuple[StateKind, ...] = ("collect",)
_FALLIBLE: tuple[StateKind, ...] = ("call", "generate", "subflow", *_COMPOSITE)
_WAITING: tuple[StateKind, ...] = ("collect", "generate", "handoff", "say", "choice", *_COMPOSITE)
"""say and choice wait if none of their transitions can be taken."""
_ENTERED: tuple[StateKind, ...] = (
    "collect", "say", "generate", "call", "subflow", "handoff", "choice", "end", *_COMPOSITE,
)  # fmt: skip

_STATE_KEYS: Mapping[str, tuple[StateKind, ...]] = {
    "wait": ("generate",),
    "no_match": (*_COLLECTING, *_COMPOSITE),
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
    "on_error": _FALLIBLE,
    "event": _WAITING,
    "internal": ("compound",),
}
_KEYS: Mapping[StateKind, str] = {"compound": "states", "end": "end: true"}
"""The key that determines the kind, if it is not the kind's name."""


def check_misplaced_keys(
    kind: StateKind, state: StateSource, document: Document, path: Path, diagnostics: DiagnosticCollector
) -> None:
    """Reports the keys of a state, and of its transitions, that have no effect.

    Args:
        kind: The state's kind.
        state: Its source.
        document: The document that it is in.
        path: Its path in the document.
        diagnostics: Receives misplaced-key.
    """
    found = [
        ((*path, key), kinds)
        for key, kinds in _STATE_KEYS.items()
        if key in state.model_fields_set and kind not in kinds
    ]
    for index, transition in enumerate(state.next):
        found += [
            ((*path, "next", index, key), kinds)
            for key, kinds in _TRANSITION_KEYS.items()
            if key in transition.model_fields_set and kind not in kinds
        ]
    for key_path, kinds in found:
        what = f"a {kind} state" if kind != "end" else "a state that ends"
        keys = " or ".join(_KEYS.get(each, each) for each in kinds if each != "choice")
        hint = f"It belongs in a state with {keys}."
        message = f'"{key_path[-1]}" has no effect in {what}.'
        diagnostics.error("misplaced-key", message, document.key_at(key_path), hint)
    if kind == "history" and len(path) == 2:
        message = "A history state must be inside another state: it restores what was last active there."
        hint = "Move it into the state whose history it restores."
        diagnostics.error("misplaced-key", message, document.key_at((*path, "history")), hint)
