"""The model as a fallback for the rules: when it is asked what a message means, and with which prompt."""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.machine.active_state import ActiveState
from clawdbot_dialogue.core.machine.effects import Interpret, PendingMessage
from clawdbot_dialogue.core.machine.slot_filling import known_parts, question
from clawdbot_dialogue.core.machine.step_context import StepContext
from clawdbot_dialogue.core.understanding.commands import Command
from clawdbot_dialogue.core.understanding.llm_commands import CommandTool
from clawdbot_dialogue.core.understanding.prompt import PromptContext, command_tools, system_prompt

INTERPRETATION_PREFIX = "interpretation"
"""The prefix of the ids of these requests."""
_UNCLEAR = frozenset({"none", "affirm", "deny"})
"""Commands that the rules generate for a message that they do not understand."""
_CERTAIN = frozenset({"cancel_flow", "handoff", "help", "chitchat"})
"""Commands that are certain if the rules find them, since a set phrase is the whole message."""


def needs_model(context: StepContext, state: State, commands: Sequence[Command]) -> bool:
    """Whether to ask a model what a message means.

    Args:
        context: The conversation.
        state: The state that the message is for.
        commands: The commands that the rules generated.
    """
    if state.kind != "collect" or not state.model:
        return False
    if context.flow.understanding == "always":
        return commands[0].name not in _CERTAIN
    return all(command.name in _UNCLEAR and not command.target for command in commands)


def request_interpretation(
    context: StepContext,
    active: ActiveState,
    message: PendingMessage,
    asked: str,
    startable_flows: tuple[Flow, ...],
) -> None:
    """Asks the model what a message means; the active state then waits for its answer."""
    prompt = _prompt_context(context, active, asked, startable_flows)
    interpretation_id = context.next_id(INTERPRETATION_PREFIX)
    active.waiting_for = interpretation_id
    state, tools = active.state, command_tools(prompt)
    context.effects.append(
        Interpret(interpretation_id, state.model, system_prompt(prompt), tools, state.tools, message)
    )


def offered_tools(
    context: StepContext, active: ActiveState, asked: str, startable_flows: tuple[Flow, ...]
) -> tuple[CommandTool, ...]:
    """The command tools that the model is offered in an active state."""
    return command_tools(_prompt_context(context, active, asked, startable_flows))


def _prompt_context(
    context: StepContext, active: ActiveState, asked: str, startable_flows: tuple[Flow, ...]
) -> PromptContext:
    return PromptContext(
        context.flow,
        active.state,
        context.slots,
        asked,
        question(context, active, asked),
        startable_flows,
        context.turn,
        known_parts(context),
    )
