"""Why a step went the way it went: every transition that was looked at, every move, in order.

Nothing reads it back: it is for whoever asks why, and not part of the snapshot.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Cause = Literal[
    "started",
    "next",
    "error",
    "event",
    "timeout",
    "no_match",
    "corrected",
    "interrupted",
    "called",
    "resumed",
    "handed_off",
    "woken",
]
"""What made the conversation move: a way of the state itself, or something that holds in every state."""


class Tried(Struct, frozen=True):
    """A transition was looked at; the first that holds is taken."""

    flow: str
    state: str
    to: str
    guard: str
    """The expression as written; empty where the transition has none."""
    held: bool
    source: str = ""
    """The state whose transition it is: the one that was looked at, or one that holds it."""
    number: int = 0
    """Its position in the `next` of that state, from 0."""


class Moved(Struct, frozen=True):
    """The conversation went from one state to another."""

    flow: str
    source: str
    """The state that was left; empty where the flow begins."""
    to: str
    cause: Cause


Traced: TypeAlias = Tried | Moved
