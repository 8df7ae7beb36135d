"""The slash commands of the chat: a table of them, and what each does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawdbot.dialogue.v1.session_pb2 import SessionStatus
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_ACCEPTED, TURN_STATUS_RUNNING
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Model, Target
from clawdbot_servicekit.suggestions import nearest

from clawdbot_cli.chat.explanation import show_explanation
from clawdbot_cli.chat.transcript import show_turn
from clawdbot_cli.sanitize import format_value

if TYPE_CHECKING:
    from clawdbot_cli.chat.conversation import Conversation

SWITCHED_ALIAS: Final = "chat"
"""The alias that /switch points at another model: the one that flows use."""
HISTORY_TURNS: Final = 20
"""Turns that /history shows."""


@dataclass(frozen=True, slots=True)
class Command:
    """One slash command."""

    usage: str
    """Its argument, for /help."""
    purpose: str
    run: Callable[[Conversation, str], Awaitable[None]]
    """Takes the conversation and the argument."""


async def run_command(conversation: Conversation, line: str) -> None:
    """Runs the command on the line. An unambiguous prefix of its name is enough; an unknown name gets a hint.

    Raises:
        RemoteError: a service refuses.
    """
    name, _, argument = line.removeprefix("/").partition(" ")
    matches = [name] if name in COMMANDS else [each for each in COMMANDS if name and each.startswith(name)]
    if len(matches) == 1:
        await COMMANDS[matches[0]].run(conversation, argument.strip())
        return
    similar = " or /".join(matches) or nearest(name, COMMANDS)
    hint = f"Did you mean /{similar}?" if similar else "Type /help for a list."
    conversation.screen.error(
        f"Unknown command /{name}. {hint} To send text that starts with a slash, put a space before it."
    )


async def show_state(conversation: Conversation, _: str) -> None:
    """Runs /state."""
    session = conversation.session = await conversation.client.get_session(conversation.session.id)
    rows = [
        ("flow", f"{session.flow} v{session.flow_version}"),
        ("state", session.state or "–"),
        (
            "status",
            SessionStatus.Name(session.status).removeprefix("SESSION_STATUS_").lower().replace("_", " "),
        ),
        ("turns", str(session.revision)),
    ]
    if session.handoff_queue:
        rows.append(("queue", session.handoff_queue))
    rows += [(f"  {name}", format_value(session.slots.fields[name])) for name in sorted(session.slots.fields)]
    conversation.screen.table(rows)


async def show_history(conversation: Conversation, _: str) -> None:
    """Runs /history."""
    turns = await conversation.client.last_turns(conversation.session.id, HISTORY_TURNS)
    if turns and turns[0].number > 1:
        conversation.screen.note(f"The last {len(turns)} of {turns[-1].number} turns:")
    for turn in turns:
        show_turn(conversation.screen, turn)
    if not turns:
        conversation.screen.note("There are no turns yet.")


async def explain(conversation: Conversation, _: str) -> None:
    """Runs /explain."""
    if not conversation.turn_id:
        conversation.screen.note("There are no turns yet.")
        return
    explanation = await conversation.client.explain_turn(conversation.session.id, conversation.turn_id)
    show_explanation(conversation.screen, explanation, whole=True)


async def cancel(conversation: Conversation, _: str) -> None:
    """Runs /cancel."""
    session_id = conversation.session.id
    turns = await conversation.client.last_turns(session_id, HISTORY_TURNS)
    open_turns = [each for each in turns if each.status in (TURN_STATUS_ACCEPTED, TURN_STATUS_RUNNING)]
    for turn in reversed(open_turns):
        await conversation.client.cancel_turn(session_id, turn_id=turn.id)
    if open_turns:
        conversation.screen.note(f"Stopped {_count(len(open_turns), 'turn')}.")
    else:
        conversation.screen.note(
            "No turn is running. Ctrl-C stops a reply; to leave a flow, type the word “cancel”."
        )


async def switch(conversation: Conversation, target: str) -> None:
    """Runs /switch."""
    if not target:
        models = await conversation.client.list_models()
        conversation.screen.table([_model_row(model) for model in models])
        conversation.screen.note(f"/switch BACKEND/MODEL points “{SWITCHED_ALIAS}” at it, for all users.")
        return
    reply = await conversation.client.switch_model(SWITCHED_ALIAS, target)
    previous = _targets(reply.previous_targets)
    milliseconds = reply.elapsed.ToTimedelta().total_seconds() * 1000
    instead = f" instead of {previous}" if previous else ""
    conversation.screen.note(
        f"“{SWITCHED_ALIAS}” is now {target}{instead} (switched in {milliseconds:.3f} ms)."
    )


async def show_flows(conversation: Conversation, _: str) -> None:
    """Runs /flows."""
    flows = await conversation.client.list_flows()
    conversation.screen.table([(f"{flow.name} v{flow.version}", flow.description) for flow in flows])


async def start_flow(conversation: Conversation, name: str) -> None:
    """Runs /flow."""
    if not name:
        await show_flows(conversation, "")
        conversation.screen.note("/flow NAME starts another conversation.")
        return
    await conversation.start(name)


async def leave(conversation: Conversation, _: str) -> None:
    """Runs /quit."""
    conversation.finished = True


async def show_help(conversation: Conversation, _: str) -> None:
    """Runs /help."""
    conversation.screen.table(
        [(f"/{name} {command.usage}".strip(), command.purpose) for name, command in COMMANDS.items()]
    )
    conversation.screen.note(
        "Ctrl-C stops a reply. At the prompt, Ctrl-C and Ctrl-D quit; the session is kept."
    )


def _model_row(model: Model) -> tuple[str, str]:
    if model.targets:
        return model.name, f"→ {_targets(model.targets)}"
    length = f", {model.context_length} tokens" if model.context_length else ""
    return model.name, f"{model.provider}{length}"


def _targets(targets: Iterable[Target]) -> str:
    regular = [each.target for each in targets if not each.fallback]
    return ", else ".join([" or ".join(regular), *(each.target for each in targets if each.fallback)]).strip(
        ", "
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


COMMANDS: Final[Mapping[str, Command]] = {
    "state": Command("", "show the state and the slots", show_state),
    "history": Command("", f"show the last {HISTORY_TURNS} turns", show_history),
    "explain": Command("", "explain the last turn in full", explain),
    "cancel": Command("", "stop the turns of this conversation that are queued or running", cancel),
    "switch": Command("[MODEL]", "use another model; without MODEL, list them", switch),
    "flows": Command("", "list the flows", show_flows),
    "flow": Command("NAME", "start another conversation", start_flow),
    "help": Command("", "show this list", show_help),
    "quit": Command("", "quit", leave),
}
