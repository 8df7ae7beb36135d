"""How states nest: their paths, which state a name means, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path

HOLDING = ("states", "parallel")
"""The keys under which a state holds others."""


def declared(states: Any) -> Iterator[tuple[str, object, Path]]:
    """Every state of a document as (path, what is written, where), those that hold others before them."""
    yield from _within("", states, ("states",))


def _within(holder: str, states: Any, at: Path) -> Iterator[tuple[str, object, Path]]:
    for name, written in states.items() if isinstance(states, dict) else ():
        path = f"{holder}.{name}" if holder else str(name)
        place = (*at, name)
        yield path, written, place
        for key in HOLDING if isinstance(written, dict) else ():
            yield from _within(path, written.get(key), (*place, key))


def resolve(name: str, holder: str, known: Container[str]) -> str | None:
    """The path of the state that a name means.

    Args:
        name: As written: "details", "booking.details".
        holder: The state among whose children the name is looked for first, then outwards; empty: the top.
        known: The paths of all states.
    """
    while holder:
        if (path := f"{holder}.{name}") in known:
            return path
        holder = parent(holder)
    return name if name in known else None


def parent(path: str) -> str:
    """The state that holds it; empty at the top."""
    return path.rpartition(".")[0]


def ancestors(path: str) -> tuple[str, ...]:
    """The states that hold it, the outermost first."""
    names = path.split(".")
    return tuple(".".join(names[:depth]) for depth in range(1, len(names)))


def domain(states: Mapping[str, State], source: State, target: State) -> str:
    """The innermost compound state that holds both and is not left between them; empty for the flow itself.

    What https://www.w3.org/TR/scxml/#LCCA calls the least common compound ancestor.
    """
    shared = ""
    for ours, theirs in zip(source.ancestors, target.ancestors, strict=False):
        if ours != theirs:
            break
        if states[ours].kind == "compound":
            shared = ours
    return shared


def below(state: State, holder: str) -> bool:
    """Whether a state lies within another one; everything lies within the flow itself, which is empty."""
    return not holder or holder in state.ancestors


def apart(one: State, other: State) -> str:
    """The parallel state in different regions of which two states lie; empty for none."""
    regions = dict(other.regions)
    return next((holder for holder, region in one.regions if regions.get(holder, region) != region), "")


def written_at(states: Mapping[str, State], path: str) -> Path:
    """Where a state stands in the document."""
    place: Path = ()
    for holder in (*ancestors(path), path):
        outer = parent(holder)
        key = "parallel" if outer and states[outer].kind == "parallel" else "states"
        place = (*place, key, holder.rpartition(".")[2])
    return place


def path_between(ancestry: Sequence[str], holder: str) -> Sequence[str]:
    """The part of a state's ancestors that lies below a holder, the outermost first."""
    return ancestry[ancestry.index(holder) + 1 :] if holder else ancestry
