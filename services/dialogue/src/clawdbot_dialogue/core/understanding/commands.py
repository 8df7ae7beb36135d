"""The vocabulary between understanding and the machine: what a message can be understood to mean.

A command is a proposal; only the machine decides whether it holds here, and says so in `accepted` and
`reason`.
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
"""The names of clawdbot.dialogue.v1.Command."""


class Command(Struct, frozen=True):
    """One thing that a message was understood to mean, field for field the proto's Command."""

    name: CommandName
    target: str = ""
    """The slot, flow or queue it is about; empty where it is about none."""
    value: object = None
    """For set_slot and correct_slot: the JSON-able value; None elsewhere."""
    source: Literal["rules", "model", "caller"] = "rules"
    accepted: bool = True
    reason: str = ""
    """For a refused one: a sentence for the person, such as "The party size must be at most 20."."""
