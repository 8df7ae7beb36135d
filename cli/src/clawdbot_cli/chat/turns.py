"""One turn from the person's words to its end, through broken connections and Ctrl-C.

The request_id is chosen before the first try and kept: whoever asks again joins the same turn.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from clawdbot.dialogue.v1.turn_pb2 import TurnFinished
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.chat.client import Client, new_id
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.screen import WARNING, Screen
from clawdbot_cli.chat.turn_view import TurnView
from clawdbot_cli.connection import Connection
from clawdbot_cli.error_messages import is_away, passes, sentence

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries to join a turn."""

GOES_ON: Final = "As soon as it is back the turn goes on; nothing is done twice. Ctrl-C stops waiting."
"""What is said of a server that is away."""
LEFT: Final = "The turn goes on without you; /history shows what came of it."
UNSAID: Final = "What you said may not have arrived; /history shows it if it has."
"""What is said of a turn whose end the person did not wait for."""


class ServerLost(Exception):
    """The server did not come back within the patience; the text is a sentence."""


class Turns:
    """Has turns done, one after the other."""

    def __init__(
        self,
        client: Client,
        connection: Connection,
        screen: Screen,
        interrupts: Interrupts,
        patience: float | None,
    ) -> None:
        """Args: patience: seconds to wait for a server that went away; None: as long as the person does."""
        self._client = client
        self._connection = connection
        self._screen = screen
        self._interrupts = interrupts
        self._patience = patience

    async def take(self, session_id: str, text: str) -> TurnFinished | None:
        """Has one turn done and shows it; its end, None where that was not seen.

        Raises:
            RemoteError: what the service says about it.
            ServerLost: the server went away for longer than the patience.
        """
        view, request_id = TurnView(self._screen), new_id()
        stop = asyncio.Event()
        following = asyncio.create_task(self._follow(view, session_id, request_id, text))
        stopping = asyncio.create_task(self._stop(stop, view, session_id, request_id))

        def interrupt() -> None:
            # Without a server there is nobody who could end the turn.
            if view.away:
                following.cancel()
            else:
                stop.set()

        # The first Ctrl-C cancels the turn, the second one no longer waits for its end.
        with self._interrupts.caught(interrupt, following.cancel):
            try:
                await asyncio.wait({following})
            finally:
                for task in (stopping, following):
                    task.cancel()
                ended = await asyncio.gather(following, stopping, return_exceptions=True)
        self._screen.end_line()
        if view.finished is None and following.cancelled():
            self._screen.note(LEFT if view.begun.is_set() else UNSAID, WARNING)
        for each in ended:
            if isinstance(each, Exception):
                raise each
        return view.finished

    async def _follow(self, view: TurnView, session_id: str, request_id: str, text: str) -> None:
        """Shows the turn's events, joining it again whenever the connection breaks."""
        pause, told = FIRST_PAUSE, False
        while view.finished is None:
            try:
                async with aclosing(self._client.turn(session_id, request_id, text)) as events:
                    async for event in events:
                        pause, told = FIRST_PAUSE, False
                        view.show(event)
            except RemoteError as fault:
                if not is_away(fault) and not passes(fault):
                    raise
                view.rejoin()
                if not told:
                    self._tell(fault)
                    told = True
                view.away = True
                await self._back(fault.retry_after or pause)
                view.away = False
                pause = min(LONGEST_PAUSE, pause * 1.5)

    def _tell(self, fault: RemoteError) -> None:
        if fault.code == "DEADLINE_EXCEEDED":
            text = "The turn takes long; listening on. Ctrl-C stops it."
        elif is_away(fault):
            text = f"The server at {self._connection.where} is gone. {GOES_ON}"
        else:
            text = f"{self._why(fault)} {GOES_ON}"
        self._screen.note(text, WARNING)

    def _why(self, fault: RemoteError) -> str:
        return sentence(fault, self._connection.where)

    async def _back(self, pause: float) -> None:
        """Returns when there is a server to ask again."""
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.sleep(pause)
                await self._connection.channel.channel_ready()
        except TimeoutError:
            raise ServerLost(
                f"The server at {self._connection.where} did not come back within {self._patience:.0f} s."
            ) from None

    async def _stop(self, stop: asyncio.Event, view: TurnView, session_id: str, request_id: str) -> None:
        """Cancels the turn when the person wants it."""
        await stop.wait()
        # Before the call: the turn may begin while the answer that there is none is on its way.
        begun = view.begun.is_set()
        try:
            await self._client.cancel(session_id, request_id)
        except RemoteError as fault:
            if fault.code == "NOT_FOUND" and not begun:
                # The turn is on its way to the service: with its first event it can be cancelled.
                await view.begun.wait()
                await self._stop(stop, view, session_id, request_id)
            else:
                self._screen.error(f"The turn cannot be stopped now. {self._why(fault)}")
                self._screen.note("Ctrl-C again leaves it alone.")
