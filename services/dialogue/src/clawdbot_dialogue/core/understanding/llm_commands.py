"""Commands proposed by a model: the tools that it is offered, and the check of the calls that it returns.

A model answers with calls of tools that stand for commands. A call that was not offered is refused here; the
machine then checks the others as it checks the commands of the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from clawdbot_dialogue.core.understanding.commands import Command


class CommandTool(Struct, frozen=True):
    """A tool that stands for a command which the model may propose."""

    name: str
    description: str
    parameters: Mapping[str, object]
    """JSON Schema of its arguments."""


class Proposal(Struct, frozen=True):
    """A call of such a tool: a command that the model proposed."""

    name: str
    arguments: Mapping[str, object]


def validate_proposals(
    proposals: Sequence[Proposal], tools: Sequence[CommandTool], filled: Mapping[str, object]
) -> list[Command]:
    """The proposals as commands, in order; those that were not offered are refused.

    Args:
        proposals: The calls of the model.
        tools: The tools it was offered.
        filled: The slots that have a value; a new value for one is a correction, whatever the model called.
    """
    offered = {offer.name: offer for offer in tools}
    return [_command(each, offered, filled) for each in proposals]


def _command(proposal: Proposal, offered: Mapping[str, CommandTool], filled: Mapping[str, object]) -> Command:
    offer = offered.get(proposal.name)
    if offer is None:
        return _refused(proposal, f"{proposal.name} was not on offer")
    properties = offer.parameters.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        given = proposal.arguments.get(name)
        allowed = schema.get("enum")
        if allowed is not None and given not in allowed:
            return _refused(proposal, f"{name} cannot be {str(given)[:100]!r} here")
    return _PARSERS.get(proposal.name, _without_arguments)(proposal, filled)


def _without_arguments(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command(proposal.name, source="model")  # type: ignore[arg-type]  # it was on offer


def _set_slot(proposal: Proposal, filled: Mapping[str, object]) -> Command:
    slot, value = str(proposal.arguments.get("slot")), proposal.arguments.get("value")
    if value is None and proposal.name == "set_slot":
        return _refused(proposal, "it has no value")
    return Command("correct_slot" if slot in filled else "set_slot", slot, value, "model")


def _start(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command("start_flow", str(proposal.arguments.get("flow")), None, "model")


def _clarify(proposal: Proposal, _: Mapping[str, object]) -> Command:
    values = proposal.arguments.get("values")
    if not isinstance(values, list) or len(values) < 2:
        return _refused(proposal, "it needs two values")
    return Command("clarify", str(proposal.arguments.get("slot")), list(values[:2]), "model")


def _chitchat(proposal: Proposal, _: Mapping[str, object]) -> Command:
    return Command("chitchat", "", proposal.arguments.get("kind"), "model")


_PARSERS = {
    "set_slot": _set_slot,
    "correct_slot": _set_slot,
    "start_flow": _start,
    "clarify": _clarify,
    "chitchat": _chitchat,
}


def _refused(proposal: Proposal, reason: str) -> Command:
    name = proposal.name if proposal.name in _PROPOSABLE else "none"
    target = str(proposal.arguments.get("slot") or proposal.arguments.get("flow") or "")[:100]
    return Command(name, target, None, "model", accepted=False, reason=reason)  # type: ignore[arg-type]


_PROPOSABLE = frozenset(
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
