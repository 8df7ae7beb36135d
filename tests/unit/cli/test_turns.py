"""A turn goes on through broken connections and ends with Ctrl-C; it is never done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from clawdbot_cli.chat.client import Client
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.turns import ServerLost, Turns
from clawdbot_cli.connection import remote
from clawdbot_servicekit.errors import RemoteError

from tests.support.ports import free_port
from tests.support.scripted_dialogue import BREAK, HOLD, ScriptedDialogue, refuse, said, serving


@asynccontextmanager
async def turns_at(address: str, paper, patience: float | None = 20) -> AsyncIterator[Turns]:
    async with remote(address, None) as connection:
        interrupts = Interrupts()
        with interrupts.received():
            yield Turns(Client(connection.channel), connection, paper.screen, interrupts, patience)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def test_a_turn_is_shown_as_it_comes(paper):
    dialogue = ScriptedDialogue({"hello": said("Hel", "lo!")})
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        after = await turns.take("s-1", "hello")
    assert paper.conversation == "Hello!\n[talk]\n"
    assert after is not None
    assert after.session.state == "talk"


async def test_a_broken_stream_is_joined_again_under_the_same_name(paper):
    dialogue = ScriptedDialogue({"story": [*said("Once upon "), BREAK, *said("a time.")]})
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        await turns.take("s-1", "story")
    assert paper.conversation == "Once upon \na time.\n[talk]\n"
    assert list(dialogue.told.values()) == [2], "one request_id, told twice"
    assert "nothing is done twice" in paper.notes


async def test_a_turn_outlives_its_server(paper):
    """The server goes away in the middle and comes back on the same port."""
    port = free_port()
    dialogue = ScriptedDialogue({"story": [*said("Once upon "), HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue, port))
        async with turns_at(address, paper) as turns:
            taking = asyncio.create_task(turns.take("s-1", "story"))
            await dialogue.held.wait()
            await first.aclose()
            dialogue.scripts["story"] = said("Once upon a time.")
            async with serving(dialogue, port):
                await taking
    assert paper.conversation == "Once upon \na time.\n[talk]\n"
    assert list(dialogue.told.values()) == [2]


async def test_a_server_that_stays_away_is_given_up_after_the_patience(paper):
    dialogue = ScriptedDialogue({"story": [HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue))
        async with turns_at(address, paper, patience=0.5) as turns:
            taking = asyncio.create_task(turns.take("s-1", "story"))
            await dialogue.held.wait()
            await first.aclose()
            with pytest.raises(ServerLost, match="did not come back"):
                await taking


async def test_ctrl_c_cancels_the_turn_and_not_the_program(paper):
    dialogue = ScriptedDialogue({"story": [*said("Once upon"), HOLD]})
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        taking = asyncio.create_task(turns.take("s-1", "story"))
        await dialogue.held.wait()
        press_ctrl_c()
        after = await taking
    assert paper.conversation == "Once upon\n(stopped)\n[talk]\n"
    assert after is not None


async def test_a_second_ctrl_c_leaves_a_turn_that_does_not_end(paper):
    dialogue = ScriptedDialogue({"story": [HOLD]})
    asked = asyncio.Event()

    async def cancel_forever(request, context):
        asked.set()
        await asyncio.Event().wait()

    dialogue.CancelTurn = cancel_forever
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        taking = asyncio.create_task(turns.take("s-1", "story"))
        await dialogue.held.wait()
        press_ctrl_c()
        await asked.wait()
        press_ctrl_c()
        assert await taking is None
    assert "The turn goes on without you" in paper.notes


async def test_a_cancel_that_overtakes_its_turn_is_said_again(paper):
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
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        taking = asyncio.create_task(turns.take("s-1", "story"))
        await arrived.wait()
        press_ctrl_c()
        await taking
    assert "(stopped)" in paper.conversation
    assert paper.notes == ""


async def test_what_the_service_refuses_is_not_tried_again(paper):
    dialogue = ScriptedDialogue()
    tries = []

    async def refusing(request, context):
        tries.append(request.request_id)
        await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED", "It has ended.")
        yield

    dialogue.StreamTurn = refusing
    async with serving(dialogue) as address, turns_at(address, paper) as turns:
        with pytest.raises(RemoteError) as caught:
            await turns.take("s-1", "hello")
    assert caught.value.reason == "SESSION_ENDED"
    assert len(tries) == 1


async def test_without_a_turn_ctrl_c_ends_the_task(paper):
    begun = asyncio.Event()

    async def chat() -> None:
        with Interrupts().received():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(chat())
    await begun.wait()
    press_ctrl_c()
    with pytest.raises(asyncio.CancelledError):
        await task
