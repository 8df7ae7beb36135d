"""What can be typed instead of words: the table of commands, and what each does."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawdbot.dialogue.v1.session_pb2 import SessionStatus
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_ACCEPTED, TURN_STATUS_RUNNING
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Model, Target

from clawdbot_cli.chat.explanation import show_explanation
from clawdbot_cli.chat.transcript import show_turn
from clawdbot_cli.sanitize import value_text

if TYPE_CHECKING:
    from clawdbot_cli.chat.conversation import Conversation

ALIAS: Final = "chat"
"""What /switch switches: the model that flows ask for."""
SHOWN: Final = 20
"""Turns that /history shows."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    usage: str
    """What stands after its name in /help."""
    purpose: str
    run: Callable[[Conversation, str], Awaitable[None]]
    """Takes the conversation and what was typed after the name."""


async def run(conversation: Conversation, line: str) -> None:
    """Does what the line says; a beginning is enough where it is nobody else's. The unknown get a hint.

    Raises:
        RemoteError: what a service says about it.
    """
    name, _, argument = line.removeprefix("/").partition(" ")
    meant = [name] if name in COMMANDS else [each for each in COMMANDS if name and each.startswith(name)]
    if len(meant) == 1:
        await COMMANDS[meant[0]].run(conversation, argument.strip())
        return
    close = meant or difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"Did you mean /{' or /'.join(close)}?" if close else "/help lists them."
    conversation.screen.error(
        f"There is no command /{name}. {hint} To say something that begins with a slash, begin with a space."
    )


async def show_state(conversation: Conversation, _: str) -> None:
    """What /state does."""
    session = conversation.session = await conversation.client.session(conversation.session.id)
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
    rows += [(f"  {name}", value_text(session.slots.fields[name])) for name in sorted(session.slots.fields)]
    conversation.screen.table(rows)


async def show_history(conversation: Conversation, _: str) -> None:
    """What /history does."""
    turns = await conversation.client.last_turns(conversation.session.id, SHOWN)
    if turns and turns[0].number > 1:
        conversation.screen.note(f"The last {len(turns)} turns of {turns[-1].number}:")
    for turn in turns:
        show_turn(conversation.screen, turn)
    if not turns:
        conversation.screen.note("Nothing has been said yet.")


async def explain(conversation: Conversation, _: str) -> None:
    """What /explain does."""
    if not conversation.turn_id:
        conversation.screen.note("Nothing has been said yet.")
        return
    explanation = await conversation.client.explain(conversation.session.id, conversation.turn_id)
    show_explanation(conversation.screen, explanation, whole=True)


async def cancel(conversation: Conversation, _: str) -> None:
    """What /cancel does."""
    session_id = conversation.session.id
    turns = await conversation.client.last_turns(session_id, SHOWN)
    open_turns = [each for each in turns if each.status in (TURN_STATUS_ACCEPTED, TURN_STATUS_RUNNING)]
    for turn in reversed(open_turns):
        await conversation.client.cancel(session_id, turn_id=turn.id)
    stopped = "Nothing is running; Ctrl-C stops a reply as it comes, and the word “cancel” leaves a form."
    conversation.screen.note(f"Stopped {_count(len(open_turns), 'turn')}." if open_turns else stopped)


async def switch(conversation: Conversation, target: str) -> None:
    """What /switch does."""
    if not target:
        conversation.screen.table([_model_row(model) for model in await conversation.client.models()])
        conversation.screen.note(f"/switch BACKEND/MODEL points “{ALIAS}” at another one, for everybody.")
        return
    reply = await conversation.client.switch(ALIAS, target)
    previous = _meaning(reply.previous_targets)
    milliseconds = reply.elapsed.ToTimedelta().total_seconds() * 1000
    before = f" instead of {previous}" if previous else ""
    conversation.screen.note(f"“{ALIAS}” is {target} now{before}; switched in {milliseconds:.3f} ms.")


async def show_flows(conversation: Conversation, _: str) -> None:
    """What /flows does."""
    flows = await conversation.client.flows()
    conversation.screen.table([(f"{flow.name} v{flow.version}", flow.description) for flow in flows])


async def begin_flow(conversation: Conversation, name: str) -> None:
    """What /flow does."""
    if not name:
        await show_flows(conversation, "")
        conversation.screen.note("/flow NAME begins another conversation.")
        return
    await conversation.begin(name)


async def leave(conversation: Conversation, _: str) -> None:
    """What /quit does."""
    conversation.over = True


async def show_help(conversation: Conversation, _: str) -> None:
    """What /help does."""
    conversation.screen.table(
        [(f"/{name} {command.usage}".strip(), command.purpose) for name, command in COMMANDS.items()]
    )
    conversation.screen.note(
        "Ctrl-C stops a reply; at the prompt, Ctrl-C and Ctrl-D leave. Sessions are kept."
    )


def _model_row(model: Model) -> tuple[str, str]:
    if model.targets:
        return model.name, f"→ {_meaning(model.targets)}"
    length = f", {model.context_length} tokens" if model.context_length else ""
    return model.name, f"{model.provider}{length}"


def _meaning(targets: Iterable[Target]) -> str:
    regular = [each.target for each in targets if not each.fallback]
    return ", else ".join([" or ".join(regular), *(each.target for each in targets if each.fallback)]).strip(
        ", "
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


COMMANDS: Final[Mapping[str, Command]] = {
    "state": Command("", "where the conversation is, and its slots", show_state),
    "history": Command("", f"the last {SHOWN} turns", show_history),
    "explain": Command("", "why the last turn went the way it went, in full", explain),
    "cancel": Command("", "stop a turn that runs or waits in this conversation", cancel),
    "switch": Command("[MODEL]", "have another model answer; alone, list the models", switch),
    "flows": Command("", "the conversations that can be held", show_flows),
    "flow": Command("NAME", "begin another conversation", begin_flow),
    "help": Command("", "this list", show_help),
    "quit": Command("", "leave", leave),
}
