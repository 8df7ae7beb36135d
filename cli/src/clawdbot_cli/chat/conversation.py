"""The chat's loop: a line in, a command or a turn out, until the person leaves.

It holds the one piece of state there is: which session the words go to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.chat import commands
from clawdbot_cli.chat.client import Client
from clawdbot_cli.chat.explanation import show_explanation
from clawdbot_cli.chat.input import Lines
from clawdbot_cli.chat.screen import ASIDE, Screen
from clawdbot_cli.chat.transcript import show_turn
from clawdbot_cli.chat.turn_view import show_status, state_text
from clawdbot_cli.chat.turns import Turns
from clawdbot_cli.connection import Connection
from clawdbot_cli.error_messages import sentence
from clawdbot_cli.invocation import command_line

RESUMED: Final = 3
"""Turns shown when a conversation is resumed."""


class Conversation:
    """One chat, from the first session to the last line."""

    def __init__(
        self,
        client: Client,
        connection: Connection,
        screen: Screen,
        turns: Turns,
        *,
        options: Sequence[str] = (),
        explains: bool = False,
    ) -> None:
        """Takes what it works with.

        Args:
            client: The services.
            connection: How they are reached.
            screen: Where it shows.
            turns: Has turns done.
            options: What the command line must say, besides --session, to come back here.
            explains: Whether each turn is followed by why it went that way.
        """
        self.client = client
        self.connection = connection
        self.screen = screen
        self.session = Session()
        self.over = False
        """Set by /quit."""
        self.turn_id = ""
        """The turn that was shown last; empty for none."""
        self._turns = turns
        self._explains = explains
        self._options = tuple(options)

    async def begin(self, flow: str, locale: str = "") -> None:
        """Opens a session in a flow and shows what it says first. RemoteError where it cannot be opened."""
        opened = await self.client.open(flow, locale)
        self.session = opened.session
        self.screen.note(f"{self._title()}. To resume it:")
        self.screen.command(self.resume_line())
        if opened.HasField("opening"):
            show_turn(self.screen, opened.opening, asked=False)
            await self._shown(opened.opening)
            self.screen.line(state_text(self.session), ASIDE)
            show_status(self.screen, self.session)

    async def resume(self, session_id: str) -> None:
        """Takes a session up where it was left. RemoteError where there is none."""
        self.session = await self.client.session(session_id)
        turns = await self.client.last_turns(session_id, RESUMED)
        self.screen.note(f"{self._title()}, resumed.")
        for turn in turns:
            show_turn(self.screen, turn)
            self.turn_id = turn.id
        self.screen.line(state_text(self.session), ASIDE)
        show_status(self.screen, self.session)

    async def hold(self, lines: Lines) -> None:
        """Until /quit, or the lines end.

        Raises:
            ServerLost: the server went away for longer than the patience.
        """
        while not self.over and (line := await lines.next()) is not None:
            try:
                await self._heed(line)
            except RemoteError as fault:
                self.screen.error(sentence(fault, self.connection.where))

    def resume_line(self) -> str:
        """The command that comes back to this conversation."""
        return command_line("chat", *self._options, "--session", self.session.id)

    def _title(self) -> str:
        return f"Conversation {self.session.id} in {self.session.flow} v{self.session.flow_version}"

    async def _heed(self, line: str) -> None:
        if line.startswith("/"):
            await commands.run(self, line)
        elif line.strip():
            after = await self._turns.take(self.session.id, line.strip())
            if after is not None:
                self.session = after.session
                await self._shown(after.turn)

    async def _shown(self, turn: Turn) -> None:
        self.turn_id = turn.id
        if self._explains:
            explanation = await self.client.explain(self.session.id, turn.id)
            show_explanation(self.screen, explanation, whole=False)
