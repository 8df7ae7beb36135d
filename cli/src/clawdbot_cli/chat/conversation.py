"""The chat's loop: reads a line, runs a command or a turn, until the person quits.

Its only state is the current session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.chat.client import ChatClient
from clawdbot_cli.chat.commands import run_command
from clawdbot_cli.chat.explanation import show_explanation
from clawdbot_cli.chat.input import LineSource
from clawdbot_cli.chat.screen import ASIDE, Screen
from clawdbot_cli.chat.transcript import show_turn
from clawdbot_cli.chat.turn_view import format_state, show_status
from clawdbot_cli.chat.turns import TurnRunner
from clawdbot_cli.connection import Connection
from clawdbot_cli.error_messages import error_message
from clawdbot_cli.invocation import command_line

RESUMED_TURNS: Final = 3
"""Turns shown when a conversation is resumed."""


class Conversation:
    """One chat, from its first session to its last line."""

    def __init__(
        self,
        client: ChatClient,
        connection: Connection,
        screen: Screen,
        turns: TurnRunner,
        *,
        server_arguments: Sequence[str] = (),
        explain: bool = False,
    ) -> None:
        """Keeps its collaborators.

        Args:
            client: The services.
            connection: How they are reached.
            screen: Where it shows.
            turns: Runs turns.
            server_arguments: What the command that resumes the conversation needs besides --session.
            explain: Whether to explain each turn.
        """
        self.client = client
        self.connection = connection
        self.screen = screen
        self.session = Session()
        self.finished = False
        """Set by /quit."""
        self.turn_id = ""
        """The turn that was shown last; empty for none."""
        self._turns = turns
        self._explain = explain
        self._server_arguments = tuple(server_arguments)

    async def start(self, flow: str, locale: str = "") -> None:
        """Creates a session in a flow and shows its opening. RemoteError if it cannot be created."""
        created = await self.client.create_session(flow, locale)
        self.session = created.session
        self.screen.note(f"{self._title()}. To resume it:")
        self.screen.command(self.resume_command())
        if created.HasField("opening"):
            show_turn(self.screen, created.opening, with_input=False)
            await self._after_turn(created.opening)
            self.screen.line(format_state(self.session), ASIDE)
            show_status(self.screen, self.session)

    async def resume(self, session_id: str) -> None:
        """Continues a session where it was left. RemoteError if it does not exist."""
        self.session = await self.client.get_session(session_id)
        turns = await self.client.last_turns(session_id, RESUMED_TURNS)
        self.screen.note(f"{self._title()}, resumed.")
        for turn in turns:
            show_turn(self.screen, turn)
            self.turn_id = turn.id
        self.screen.line(format_state(self.session), ASIDE)
        show_status(self.screen, self.session)

    async def run(self, lines: LineSource) -> None:
        """Handles lines until /quit, or until there are no more.

        Raises:
            ServerLost: the server did not come back within the reconnect timeout.
        """
        while not self.finished and (line := await lines.next_line()) is not None:
            try:
                await self._handle(line)
            except RemoteError as error:
                self.screen.error(error_message(error, self.connection.display_name))

    def resume_command(self) -> str:
        """The command line that resumes this conversation."""
        return command_line("chat", *self._server_arguments, "--session", self.session.id)

    def _title(self) -> str:
        return f"Conversation {self.session.id} in {self.session.flow} v{self.session.flow_version}"

    async def _handle(self, line: str) -> None:
        if line.startswith("/"):
            await run_command(self, line)
        elif line.strip():
            result = await self._turns.run(self.session.id, line.strip())
            if result is not None:
                self.session = result.session
                await self._after_turn(result.turn)

    async def _after_turn(self, turn: Turn) -> None:
        self.turn_id = turn.id
        if self._explain:
            explanation = await self.client.explain_turn(self.session.id, turn.id)
            show_explanation(self.screen, explanation, whole=False)
