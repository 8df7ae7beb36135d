"""Runs one turn from the person's message to its end, through lost connections and Ctrl-C.

The request_id is chosen before the first attempt and kept, so that each retry joins the same turn.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from clawdbot.dialogue.v1.turn_pb2 import TurnFinished
from clawdbot_servicekit.errors import RemoteError

from clawdbot_cli.chat.client import ChatClient, new_request_id
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.screen import WARNING, Screen
from clawdbot_cli.chat.turn_view import TurnView
from clawdbot_cli.connection import Connection
from clawdbot_cli.error_messages import error_message, is_connection_error, is_transient

BACKOFF_MIN: Final = 0.2
BACKOFF_MAX: Final = 2.0
"""Seconds between two attempts to join a turn."""

CONTINUES: Final = "The turn continues when the server is back; nothing is done twice. Ctrl-C stops waiting."
"""After the message about a lost server."""
LEFT_RUNNING: Final = "The turn continues on the server. /history shows the result."
MAYBE_NOT_SENT: Final = "Your message may not have arrived. If it did, /history shows it."
"""For a turn whose end the person did not wait for."""


class ServerLost(Exception):
    """The server did not come back within the reconnect timeout; the message is a sentence."""


class TurnRunner:
    """Runs turns, one after the other."""

    def __init__(
        self,
        client: ChatClient,
        connection: Connection,
        screen: Screen,
        interrupts: Interrupts,
        reconnect_timeout: float | None,
    ) -> None:
        """Args: reconnect_timeout: seconds to wait for a lost server; None: until the person stops it."""
        self._client = client
        self._connection = connection
        self._screen = screen
        self._interrupts = interrupts
        self._reconnect_timeout = reconnect_timeout

    async def run(self, session_id: str, text: str) -> TurnFinished | None:
        """Runs one turn and shows it; its end, or None if the person did not wait for it.

        Raises:
            RemoteError: the service refuses the turn.
            ServerLost: the server did not come back within the reconnect timeout.
        """
        view, request_id = TurnView(self._screen), new_request_id()
        stop = asyncio.Event()
        streaming = asyncio.create_task(self._stream(view, session_id, request_id, text))
        cancelling = asyncio.create_task(self._cancel_when(stop, view, session_id, request_id))

        def interrupt() -> None:
            # Without a server there is nothing that could cancel the turn.
            if view.disconnected:
                streaming.cancel()
            else:
                stop.set()

        # The first Ctrl-C cancels the turn; the second stops waiting for its end.
        with self._interrupts.on_interrupt(interrupt, streaming.cancel):
            try:
                await asyncio.wait({streaming})
            finally:
                for task in (cancelling, streaming):
                    task.cancel()
                results = await asyncio.gather(streaming, cancelling, return_exceptions=True)
        self._screen.end_line()
        if view.finished is None and streaming.cancelled():
            self._screen.note(LEFT_RUNNING if view.started.is_set() else MAYBE_NOT_SENT, WARNING)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return view.finished

    async def _stream(self, view: TurnView, session_id: str, request_id: str, text: str) -> None:
        """Shows the turn's events, and joins it again whenever the connection breaks."""
        backoff, reported = BACKOFF_MIN, False
        while view.finished is None:
            try:
                async with aclosing(self._client.stream_turn(session_id, request_id, text)) as events:
                    async for event in events:
                        backoff, reported = BACKOFF_MIN, False
                        view.show(event)
            except RemoteError as error:
                if not is_connection_error(error) and not is_transient(error):
                    raise
                view.rejoin()
                if not reported:
                    self._report(error)
                    reported = True
                view.disconnected = True
                await self._wait_for_server(error.retry_after or backoff)
                view.disconnected = False
                backoff = min(BACKOFF_MAX, backoff * 1.5)

    def _report(self, error: RemoteError) -> None:
        if error.code == "DEADLINE_EXCEEDED":
            text = "The turn is taking long. Still waiting; Ctrl-C stops it."
        elif is_connection_error(error):
            text = f"Lost the connection to {self._connection.display_name}. {CONTINUES}"
        else:
            text = f"{self._message(error)} {CONTINUES}"
        self._screen.note(text, WARNING)

    def _message(self, error: RemoteError) -> str:
        return error_message(error, self._connection.display_name)

    async def _wait_for_server(self, backoff: float) -> None:
        """Returns when there is a server to ask again."""
        try:
            async with asyncio.timeout(self._reconnect_timeout):
                await asyncio.sleep(backoff)
                await self._connection.channel.channel_ready()
        except TimeoutError:
            raise ServerLost(
                f"Could not reconnect to {self._connection.display_name} within "
                f"{self._reconnect_timeout:.0f} s."
            ) from None

    async def _cancel_when(
        self, stop: asyncio.Event, view: TurnView, session_id: str, request_id: str
    ) -> None:
        """Cancels the turn when the event is set."""
        await stop.wait()
        # Read before the call: the turn may start while the answer that it does not exist is on its way.
        started = view.started.is_set()
        try:
            await self._client.cancel_turn(session_id, request_id)
        except RemoteError as error:
            if error.code == "NOT_FOUND" and not started:
                # The turn is still on its way to the service. After its first event it can be cancelled.
                await view.started.wait()
                await self._cancel_when(stop, view, session_id, request_id)
            else:
                self._screen.error(f"The turn cannot be stopped now. {self._message(error)}")
                self._screen.note("Press Ctrl-C again to stop waiting for it.")
