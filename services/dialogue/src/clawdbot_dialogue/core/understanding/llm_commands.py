"""What a model may propose that a message means: the offers made to it, and what it answers.

It answers with calls of tools that stand for commands. What it proposes beyond its offers is refused, and
what it proposes within them the machine checks as it checks everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from clawdbot_dialogue.core.understanding.commands import Command


class Offer(Struct, frozen=True):
    """A command that the model may propose."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of its arguments."""


class Proposal(Struct, frozen=True):
    """A command that the model proposed."""

    name: str
    arguments: Mapping[str, object]


def judged(
    proposals: Sequence[Proposal], offers: Sequence[Offer], filled: Mapping[str, object]
) -> list[Command]:
    """The proposals as commands, in order; what was not on offer is refused.

    Args:
        proposals: What the model called.
        offers: What it was offered.
        filled: The slots that have a value: a new one for them is a correction, whatever it was called.
    """
    offered = {offer.name: offer for offer in offers}
    return [_command(each, offered, filled) for each in proposals]


def _command(proposal: Proposal, offered: Mapping[str, Offer], filled: Mapping[str, object]) -> Command:
    offer = offered.get(proposal.name)
    if offer is None:
        return _refused(proposal, f"{proposal.name} was not on offer")
    properties = offer.parameters.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        given = proposal.arguments.get(name)
        allowed = schema.get("enum")
        if allowed is not None and given not in allowed:
            return _refused(proposal, f"{name} cannot be {str(given)[:100]!r} here")
    return _READ.get(proposal.name, _plain)(proposal, filled)


def _plain(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command(proposal.name, source="model")  # type: ignore[arg-type]  # it was on offer


def _slot(proposal: Proposal, filled: Mapping[str, object]) -> Command:
    slot, value = str(proposal.arguments.get("slot")), proposal.arguments.get("value")
    if value is None and proposal.name == "set_slot":
        return _refused(proposal, "it has no value")
    return Command("correct_slot" if slot in filled else "set_slot", slot, value, "model")


def _start(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command("start_flow", str(proposal.arguments.get("flow")), None, "model")


def _clarify(proposal: Proposal, _: Mapping[str, object]) -> Command:
    values = proposal.arguments.get("values")
    if not isinstance(values, list) or len(values) < 2:
        return _refused(proposal, "it names no two values")
    return Command("clarify", str(proposal.arguments.get("slot")), list(values[:2]), "model")


def _chitchat(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command("chitchat", "", proposal.arguments.get("kind"), "model")


_READ = {
    "set_slot": _slot,
    "correct_slot": _slot,
    "start_flow": _start,
    "clarify": _clarify,
    "chitchat": _chitchat,
}


def _refused(proposal: Proposal, reason: str) -> Command:
    name = proposal.name if proposal.name in _NAMES else "none"
    target = str(proposal.arguments.get("slot") or proposal.arguments.get("flow") or "")[:100]
    return Command(name, target, None, "model", accepted=False, reason=reason)  # type: ignore[arg-type]


_NAMES = frozenset(
    [
        "set_slot",
        "correct_slot",
        "start_flow",
        "cancel_flow",
        "clarify",
        "chitchat",
        "handoff",
        "help",
        "none",
    ]
)
