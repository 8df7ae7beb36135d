"""`clawdbot chat` as a command: builds the chat from the command-line options, and returns an exit code."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import RemoteError, StartupError

from clawdbot_cli.chat.client import ChatClient
from clawdbot_cli.chat.commands import COMMANDS
from clawdbot_cli.chat.conversation import Conversation
from clawdbot_cli.chat.input import Pipe, is_interactive
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.screen import Screen
from clawdbot_cli.chat.turns import ServerLost, TurnRunner
from clawdbot_cli.client_settings import api_key
from clawdbot_cli.connection import ConnectionOptions, connect_or_start
from clawdbot_cli.error_messages import error_message
from clawdbot_cli.tls_options import TlsOptions

DEFAULT_FLOW: Final = "chat"
PIPE_RECONNECT_TIMEOUT: Final = 60.0
"""Seconds that a script waits for a lost server; a person ends the wait with Ctrl-C."""
SERVER_LOST: Final = 1
INTERRUPTED: Final = 130
"""Exit codes; the latter is the shells' code for SIGINT."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The command-line options. None: not given."""

    flow: str | None = None
    session: str | None = None
    address: str | None = None
    key_file: Path | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    config: Path | None = None
    explain: bool = False
    locale: str | None = None

    def check(self) -> None:
        """Raises StartupError for options that contradict each other."""
        if self.flow is not None and self.session is not None:
            raise StartupError(
                "Give --flow or --session, not both: --flow starts a conversation, --session resumes one."
            )
        if self.locale is not None and self.session is not None:
            raise StartupError(
                "Give --locale or --session, not both: a resumed conversation already has a language."
            )
        self.connection.check()

    @property
    def connection(self) -> ConnectionOptions:
        """Where the services are."""
        return ConnectionOptions(self.address, self.tls, self.config)

    def server_arguments(self) -> list[str]:
        """The arguments that reach the same server again."""
        options = {
            "--addr": self.address,
            "--key-file": self.key_file,
            **self.tls.arguments(),
            "--config": self.config,
        }
        return [word for name, value in options.items() if value is not None for word in (name, str(value))]


def run_chat(options: ChatOptions) -> int:
    """Runs the chat and returns the exit code.

    Raises:
        StartupError: it cannot start, for a reason that the person can fix.
    """
    options.check()
    try:
        return asyncio.run(_run_chat(options))
    except KeyboardInterrupt:
        return INTERRUPTED  # before our own signal handler was installed


async def _run_chat(options: ChatOptions) -> int:
    key = api_key(options.key_file)
    interactive = is_interactive()
    screen = Screen.standard(interactive=interactive)
    interrupts = Interrupts()
    with interrupts.handle_signals():
        try:
            async with AsyncExitStack() as stack:
                connecting = connect_or_start(options.connection, screen.note)
                connection = await stack.enter_async_context(connecting)
                if key and connection.unencrypted:
                    screen.note(
                        f"Warning: the API key is sent to {connection.display_name} without encryption."
                    )
                client = ChatClient(connection.channel, key)
                reconnect_timeout = None if interactive else PIPE_RECONNECT_TIMEOUT
                turns = TurnRunner(client, connection, screen, interrupts, reconnect_timeout)
                conversation = Conversation(
                    client,
                    connection,
                    screen,
                    turns,
                    server_arguments=options.server_arguments(),
                    explain=options.explain,
                )
                if interactive:
                    screen.note("Type /help for commands. Ctrl-C stops a reply, Ctrl-D quits.")
                await _start_or_resume(conversation, options)
                if interactive:
                    await _run_at_prompt(conversation, interrupts)
                else:
                    await conversation.run(Pipe(screen))
        except ServerLost as error:
            screen.error(f"{error} To resume later:")
            screen.command(conversation.resume_command())
            return SERVER_LOST
        except asyncio.CancelledError:
            screen.end_line()
            return INTERRUPTED  # by SIGINT or SIGTERM: nothing else cancels this task
    return 0


async def _run_at_prompt(conversation: Conversation, interrupts: Interrupts) -> None:
    # Imported here: a pipe does not need it, and it takes a moment to load.
    from clawdbot_cli.chat.prompt import Prompt

    try:
        await conversation.run(Prompt(f"/{name}" for name in COMMANDS))
    except asyncio.CancelledError:
        # A signal between a turn and the prompt means the same as Ctrl-C at the prompt.
        interrupts.clear_cancellation()
    conversation.screen.note("Goodbye. To resume this conversation:")
    conversation.screen.command(conversation.resume_command())


async def _start_or_resume(conversation: Conversation, options: ChatOptions) -> None:
    try:
        if options.session is not None:
            await conversation.resume(options.session)
        else:
            await conversation.start(options.flow or DEFAULT_FLOW, options.locale or "")
    except RemoteError as error:
        raise StartupError(error_message(error, conversation.connection.display_name)) from None
