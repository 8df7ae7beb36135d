"""Where a model helps to understand a message: when it is asked, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.machine.effects import Heard, Interpret
from clawdbot_dialogue.core.machine.slot_filling import parts, question
from clawdbot_dialogue.core.machine.step_context import Progress
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.llm_commands import Offer
from clawdbot_dialogue.core.understanding.prompt import Standing, instructions, offers

INTERPRETATION = "interpretation"
"""What the ids of these requests begin with."""
_UNCLEAR = frozenset({"none", "affirm", "deny"})
"""What the rules say of a message that they can make no use of."""
_PLAIN = frozenset({"cancel_flow", "handoff", "help", "chitchat"})
"""What is certain when the rules find it, since it is the whole message."""


def wants_model(progress: Progress, commands: Sequence[Command]) -> bool:
    """Whether a model is to be asked what a message means.

    Args:
        progress: Where the conversation stands.
        commands: What the rules understood.
    """
    state = progress.state
    if state.kind != "collect" or not state.model:
        return False
    if progress.flow.understanding == "always":
        return commands[0].name not in _PLAIN
    return all(command.name in _UNCLEAR and not command.target for command in commands)


def ask_model(progress: Progress, heard: Heard, asked: str, others: tuple[Flow, ...]) -> None:
    """Wants the model to say what a message means; the machine waits for its answer."""
    standing = _standing(progress, asked, others)
    interpretation_id = progress.next_id(INTERPRETATION)
    progress.here.waiting_for = interpretation_id
    state = progress.state
    progress.effects.append(
        Interpret(
            interpretation_id, state.model, instructions(standing), offers(standing), state.tools, heard
        )
    )


def offered(progress: Progress, asked: str, others: tuple[Flow, ...]) -> tuple[Offer, ...]:
    """What the model was offered where the conversation stands."""
    return offers(_standing(progress, asked, others))


def _standing(progress: Progress, asked: str, others: tuple[Flow, ...]) -> Standing:
    slots, inner, words = progress.slots, parts(progress), question(progress, asked)
    return Standing(progress.flow, progress.state, slots, asked, words, others, progress.turn, inner)
