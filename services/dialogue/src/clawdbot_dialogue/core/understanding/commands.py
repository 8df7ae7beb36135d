"""The commands that a message can stand for: the interface between understanding and the machine.

A command is a proposal. Only the machine decides whether it is valid in the current state, and records that
in `accepted` and `reason`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

CommandName = Literal[
    "set_slot",
    "correct_slot",
    "affirm",
    "deny",
    "start_flow",
    "cancel_flow",
    "clarify",
    "chitchat",
    "handoff",
    "help",
    "none",
]
"""The same names as in clawdbot.dialogue.v1.Command."""


class Command(Struct, frozen=True):
    """One thing that a message means; has the same fields as clawdbot.dialogue.v1.Command."""

    name: CommandName
    target: str = ""
    """The slot, flow or queue it is about; empty if none."""
    value: object = None
    """For set_slot and correct_slot: the JSON-serializable value; for clarify: the two values; for chitchat:
    its kind. Otherwise None."""
    source: Literal["rules", "model", "caller"] = "rules"
    accepted: bool = True
    reason: str = ""
    """For a refused command: a sentence for the person, such as "The party size must be at most 20."."""
