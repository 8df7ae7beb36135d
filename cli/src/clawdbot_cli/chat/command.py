"""`clawdbot chat` as a command: what was asked for on the command line, put together, and its exit code."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import RemoteError, StartupError

from clawdbot_cli.chat.client import Client
from clawdbot_cli.chat.commands import COMMANDS
from clawdbot_cli.chat.conversation import Conversation
from clawdbot_cli.chat.input import Pipe, is_person
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.screen import Screen
from clawdbot_cli.chat.turns import ServerLost, Turns
from clawdbot_cli.client_settings import api_key
from clawdbot_cli.connection import Whereabouts, reached
from clawdbot_cli.error_messages import sentence

DEFAULT_FLOW: Final = "chat"
PIPE_PATIENCE: Final = 60.0
"""Seconds that a script waits for a server that went away; a person says so with Ctrl-C."""
SERVER_LOST: Final = 1
INTERRUPTED: Final = 130
"""Exit codes; the latter as shells have it for SIGINT."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command line. None: not given."""

    flow: str | None = None
    session: str | None = None
    address: str | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    config: Path | None = None
    explain: bool = False
    locale: str | None = None

    def check(self) -> None:
        """Raises StartupError for options that contradict each other."""
        if self.flow is not None and self.session is not None:
            raise StartupError(
                "--flow begins a conversation and --session goes on with one: give one of them."
            )
        if self.locale is not None and self.session is not None:
            raise StartupError(
                "--locale begins a conversation and --session goes on with one: give one of them."
            )
        self.where.check()

    @property
    def where(self) -> Whereabouts:
        """Where the services are."""
        return Whereabouts(self.address, self.ca_file, self.config)

    def again(self) -> list[str]:
        """The options that the same server must be called with."""
        given = {
            "--addr": self.address,
            "--key-file": self.key_file,
            "--ca-file": self.ca_file,
            "--config": self.config,
        }
        return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def hold_chat(wishes: Wishes) -> int:
    """Holds the chat and returns the exit code.

    Raises:
        StartupError: when it cannot begin, for what the person can mend.
    """
    wishes.check()
    try:
        return asyncio.run(_chat(wishes))
    except KeyboardInterrupt:
        return INTERRUPTED  # before our own handler was in place


async def _chat(wishes: Wishes) -> int:
    key = api_key(wishes.key_file)
    person = is_person()
    screen = Screen.standard(person=person)
    interrupts = Interrupts()
    with interrupts.received():
        try:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(reached(wishes.where, screen.note))
                if key and connection.in_the_clear:
                    screen.note(f"The key travels unencrypted to {connection.where}.")
                client = Client(connection.channel, key)
                patience = None if person else PIPE_PATIENCE
                turns = Turns(client, connection, screen, interrupts, patience)
                conversation = Conversation(
                    client,
                    connection,
                    screen,
                    turns,
                    options=wishes.again(),
                    explains=wishes.explain,
                )
                if person:
                    screen.note("/help lists the commands; Ctrl-C stops a reply, Ctrl-D leaves.")
                await _begin(conversation, wishes)
                if person:
                    await _talk(conversation, interrupts)
                else:
                    await conversation.hold(Pipe(screen))
        except ServerLost as lost:
            screen.error(f"{lost} To go on later:")
            screen.command(conversation.resume_line())
            return SERVER_LOST
        except asyncio.CancelledError:
            screen.end_line()
            return INTERRUPTED  # by SIGINT or SIGTERM: nobody else cancels this task
    return 0


async def _talk(conversation: Conversation, interrupts: Interrupts) -> None:
    # A pipe has no use for it, and it takes a moment to load.
    from clawdbot_cli.chat.prompt import Prompt

    try:
        await conversation.hold(Prompt(f"/{name}" for name in COMMANDS))
    except asyncio.CancelledError:
        # A signal between a turn and the prompt means what Ctrl-C at the prompt means.
        interrupts.forgive()
    conversation.screen.note("Goodbye. To go on:")
    conversation.screen.command(conversation.resume_line())


async def _begin(conversation: Conversation, wishes: Wishes) -> None:
    try:
        if wishes.session is not None:
            await conversation.resume(wishes.session)
        else:
            await conversation.begin(wishes.flow or DEFAULT_FLOW, wishes.locale or "")
    except RemoteError as fault:
        raise StartupError(sentence(fault, conversation.connection.where)) from None
