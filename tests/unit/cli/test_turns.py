"""A turn continues through lost connections and ends with Ctrl-C; it never runs twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from clawdbot_cli.chat.client import ChatClient
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.turns import ServerLost, TurnRunner
from clawdbot_cli.connection import connect
from clawdbot_servicekit.errors import RemoteError

from tests.support.ports import free_port
from tests.support.scripted_dialogue import BREAK, HOLD, ScriptedDialogue, refuse, said, serving


@asynccontextmanager
async def turns_at(address: str, output, reconnect_timeout: float | None = 20) -> AsyncIterator[TurnRunner]:
    async with connect(address, None) as connection:
        interrupts = Interrupts()
        with interrupts.handle_signals():
            client = ChatClient(connection.channel)
            yield TurnRunner(client, connection, output.screen, interrupts, reconnect_timeout)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def test_a_turn_is_streamed(output):
    dialogue = ScriptedDialogue({"hello": said("Hel", "lo!")})
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        result = await turns.run("s-1", "hello")
    assert output.conversation == "Hello!\n[talk]\n"
    assert result is not None
    assert result.session.state == "talk"


async def test_a_broken_stream_is_joined_again_with_the_same_request_id(output):
    dialogue = ScriptedDialogue({"story": [*said("Once upon "), BREAK, *said("a time.")]})
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        await turns.run("s-1", "story")
    assert output.conversation == "Once upon \na time.\n[talk]\n"
    assert list(dialogue.told.values()) == [2], "one request_id, streamed twice"
    assert "nothing is done twice" in output.notes


async def test_a_turn_outlives_its_server(output):
    """The server goes away in the middle and comes back on the same port."""
    port = free_port()
    dialogue = ScriptedDialogue({"story": [*said("Once upon "), HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue, port))
        async with turns_at(address, output) as turns:
            running = asyncio.create_task(turns.run("s-1", "story"))
            await dialogue.held.wait()
            await first.aclose()
            dialogue.scripts["story"] = said("Once upon a time.")
            async with serving(dialogue, port):
                await running
    assert output.conversation == "Once upon \na time.\n[talk]\n"
    assert list(dialogue.told.values()) == [2]


async def test_a_lost_server_is_given_up_after_the_reconnect_timeout(output):
    dialogue = ScriptedDialogue({"story": [HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue))
        async with turns_at(address, output, reconnect_timeout=0.5) as turns:
            running = asyncio.create_task(turns.run("s-1", "story"))
            await dialogue.held.wait()
            await first.aclose()
            with pytest.raises(ServerLost, match="Could not reconnect"):
                await running


async def test_ctrl_c_cancels_the_turn_and_not_the_program(output):
    dialogue = ScriptedDialogue({"story": [*said("Once upon"), HOLD]})
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        running = asyncio.create_task(turns.run("s-1", "story"))
        await dialogue.held.wait()
        press_ctrl_c()
        result = await running
    assert output.conversation == "Once upon\n(stopped)\n[talk]\n"
    assert result is not None


async def test_a_second_ctrl_c_stops_waiting_for_a_turn_that_does_not_end(output):
    dialogue = ScriptedDialogue({"story": [HOLD]})
    asked = asyncio.Event()

    async def cancel_forever(request, context):
        asked.set()
        await asyncio.Event().wait()

    dialogue.CancelTurn = cancel_forever
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        running = asyncio.create_task(turns.run("s-1", "story"))
        await dialogue.held.wait()
        press_ctrl_c()
        await asked.wait()
        press_ctrl_c()
        assert await running is None
    assert "The turn continues on the server." in output.notes


async def test_a_cancel_that_overtakes_its_turn_is_repeated(output):
    """Ctrl-C right after Return may reach the service before the turn does."""
    dialogue = ScriptedDialogue({"story": [HOLD]})
    known, early = asyncio.Event(), asyncio.Event()
    cancel, stream = dialogue.CancelTurn, dialogue.StreamTurn

    async def not_yet(request, context):
        if not known.is_set():
            early.set()
            await refuse(context, grpc.StatusCode.NOT_FOUND, "TURN_NOT_FOUND", "There is no such turn.")
        return await cancel(request, context)

    async def late(request, context):
        arrived.set()
        await early.wait()
        known.set()
        async for event in stream(request, context):
            yield event

    arrived = asyncio.Event()
    dialogue.CancelTurn, dialogue.StreamTurn = not_yet, late
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        running = asyncio.create_task(turns.run("s-1", "story"))
        await arrived.wait()
        press_ctrl_c()
        await running
    assert "(stopped)" in output.conversation
    assert output.notes == ""


async def test_a_turn_that_the_service_refuses_is_not_retried(output):
    dialogue = ScriptedDialogue()
    attempts = []

    async def refusing(request, context):
        attempts.append(request.request_id)
        await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED", "It has ended.")
        yield

    dialogue.StreamTurn = refusing
    async with serving(dialogue) as address, turns_at(address, output) as turns:
        with pytest.raises(RemoteError) as caught:
            await turns.run("s-1", "hello")
    assert caught.value.reason == "SESSION_ENDED"
    assert len(attempts) == 1


async def test_without_a_turn_ctrl_c_ends_the_task(output):
    started = asyncio.Event()

    async def chat() -> None:
        with Interrupts().handle_signals():
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(chat())
    await started.wait()
    press_ctrl_c()
    with pytest.raises(asyncio.CancelledError):
        await task
