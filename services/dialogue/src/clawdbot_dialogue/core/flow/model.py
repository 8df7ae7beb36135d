"""A flow, checked and compiled: what the machine runs. Immutable; shared by every conversation in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """One version of a flow."""

    name: str
    version: int
    description: str
    source: str
    """The YAML it was read from."""
