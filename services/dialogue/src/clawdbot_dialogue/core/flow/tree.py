"""Nested states: their paths, which state a name refers to, and how two of them relate."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path

CHILD_KEYS = ("states", "parallel")
"""The keys under which a state has child states."""


def iter_states(states: Any) -> Iterator[tuple[str, object, Path]]:
    """Every state of a document as (state path, declaration, document path), parents before children."""
    yield from _iter_children("", states, ("states",))


def _iter_children(parent_path: str, states: Any, at: Path) -> Iterator[tuple[str, object, Path]]:
    for name, declaration in states.items() if isinstance(states, dict) else ():
        path = f"{parent_path}.{name}" if parent_path else str(name)
        at_state = (*at, name)
        yield path, declaration, at_state
        for key in CHILD_KEYS if isinstance(declaration, dict) else ():
            yield from _iter_children(path, declaration.get(key), (*at_state, key))


def resolve(name: str, scope: str, known: Container[str]) -> str | None:
    """The path of the state that a name refers to; None if there is none.

    Args:
        name: As written: "details", "booking.details".
        scope: The state among whose children the name is looked up first, then outwards; empty: the top.
        known: The paths of all states.
    """
    while scope:
        if (path := f"{scope}.{name}") in known:
            return path
        scope = parent(scope)
    return name if name in known else None


def parent(path: str) -> str:
    """The path of the parent state; empty at the top."""
    return path.rpartition(".")[0]


def ancestors(path: str) -> tuple[str, ...]:
    """The paths of the ancestors, outermost first."""
    names = path.split(".")
    return tuple(".".join(names[:depth]) for depth in range(1, len(names)))


def transition_domain(states: Mapping[str, State], source: State, target: State) -> str:
    """The innermost compound state that contains both and is not exited; empty for the flow itself.

    SCXML's least common compound ancestor: https://www.w3.org/TR/scxml/#LCCA.
    """
    shared = ""
    for ours, theirs in zip(source.ancestors, target.ancestors, strict=False):
        if ours != theirs:
            break
        if states[ours].kind == "compound":
            shared = ours
    return shared


def is_descendant(state: State, ancestor: str) -> bool:
    """Whether a state is a descendant of another one; always true for the flow itself, the empty path."""
    return not ancestor or ancestor in state.ancestors


def separating_parallel(one: State, other: State) -> str:
    """The parallel state that has the two states in different regions; empty if there is none."""
    regions = dict(other.regions)
    return next((parallel for parallel, region in one.regions if regions.get(parallel, region) != region), "")


def document_path(states: Mapping[str, State], path: str) -> Path:
    """Where a state is declared in the document."""
    at_state: Path = ()
    for state in (*ancestors(path), path):
        outer = parent(state)
        key = "parallel" if outer and states[outer].kind == "parallel" else "states"
        at_state = (*at_state, key, state.rpartition(".")[2])
    return at_state


def ancestors_below(ancestry: Sequence[str], ancestor: str) -> Sequence[str]:
    """The part of a state's ancestors that lies below one of them, outermost first."""
    return ancestry[ancestry.index(ancestor) + 1 :] if ancestor else ancestry
