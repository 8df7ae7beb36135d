"""A person types at the chat's prompt, in a pseudo-terminal."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from tests.support.ports import free_port
from tests.support.scripted_dialogue import HOLD, ScriptedDialogue, said, serving
from tests.support.terminal import terminal

pytestmark = pytest.mark.integration


async def test_a_person_chats_and_quits_with_ctrl_d():
    dialogue = ScriptedDialogue({"hello": said("Hel", "lo!")})
    async with (
        serving(dialogue) as address,
        terminal("clawdbot_cli", "chat", "--addr", address) as screen,
    ):
        await screen.wait_for_prompt()
        screen.type("hello\r")
        await screen.wait_for("Hello!")
        await screen.wait_for("[talk]")
        await screen.wait_for_prompt()
        screen.type("\x04")
        assert await screen.exit_code() == 0
    assert "Goodbye" in screen.text
    assert f"chat --addr {address} --session s-1" in screen.text


async def test_ctrl_c_stops_the_reply_and_the_prompt_comes_back():
    dialogue = ScriptedDialogue({"story": [*said("Once upon a time "), HOLD], "and?": said("The end.")})
    async with (
        serving(dialogue) as address,
        terminal("clawdbot_cli", "chat", "--addr", address) as screen,
    ):
        await screen.wait_for_prompt()
        screen.type("story\r")
        await dialogue.held.wait()
        await screen.wait_for("Once upon a time")
        screen.type("\x03")
        await screen.wait_for("(stopped)")
        await screen.wait_for_prompt()
        screen.type("and?\r")
        await screen.wait_for("The end.")
        await screen.wait_for_prompt()
        screen.type("\x03")  # at the prompt, the same key quits
        assert await screen.exit_code() == 0


async def test_tab_completes_a_command():
    async with (
        serving(ScriptedDialogue()) as address,
        terminal("clawdbot_cli", "chat", "--addr", address) as screen,
    ):
        await screen.wait_for_prompt()
        screen.type("/hel\t")
        await screen.wait_for("/help", times=2)  # once in the first note
        screen.type("\r")
        await screen.wait_for("quit", times=3)
        await screen.wait_for_prompt()
        screen.type("/quit\r")
        assert await screen.exit_code() == 0


async def test_a_reply_cannot_control_the_terminal():
    evil = "\x1b]0;gotcha\x07\x1b[2J\x9b31m"
    async with (
        serving(ScriptedDialogue({"hello": said(evil, "done.")})) as address,
        terminal("clawdbot_cli", "chat", "--addr", address) as screen,
    ):
        await screen.wait_for_prompt()
        before = len(screen.raw)
        screen.type("hello\r")
        await screen.wait_for("done.")
        after = screen.raw[before:]
        assert "\x1b]" not in after
        assert "\x9b" not in after
        assert "\x07" not in after
        assert "␛]0;gotcha␇␛[2J" in after


async def test_a_turn_continues_when_the_server_is_back():
    port = free_port()
    dialogue = ScriptedDialogue({"story": [*said("Once upon "), HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue, port))
        async with terminal("clawdbot_cli", "chat", "--addr", address) as screen:
            await screen.wait_for_prompt()
            screen.type("story\r")
            await dialogue.held.wait()
            await first.aclose()
            await screen.wait_for("Lost the connection")
            dialogue.scripts["story"] = said("Once upon a time.")
            async with serving(dialogue, port):
                await screen.wait_for("a time.")
                await screen.wait_for("[talk]")
                await screen.wait_for_prompt()
                screen.type("\x04")
                assert await screen.exit_code() == 0
    assert list(dialogue.told.values()) == [2]


async def test_a_person_can_stop_waiting_for_a_lost_server():
    dialogue = ScriptedDialogue({"story": [HOLD]})
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(serving(dialogue))
        async with terminal("clawdbot_cli", "chat", "--addr", address) as screen:
            await screen.wait_for_prompt()
            screen.type("story\r")
            await dialogue.held.wait()
            await first.aclose()
            await screen.wait_for("Ctrl-C stops waiting")
            screen.type("\x03")
            await screen.wait_for("continues on the server")
            await screen.wait_for_prompt()
            screen.type("\x04")
            assert await screen.exit_code() == 0


async def test_long_replies_are_wrapped_between_words():
    story = "a reply of many words that is much longer than the terminal is wide"
    async with (
        serving(ScriptedDialogue({"story": said(*(f"{word} " for word in story.split()))})) as address,
        terminal("clawdbot_cli", "chat", "--addr", address, columns=30) as screen,
    ):
        await screen.wait_for_prompt()
        screen.type("story\r")
        await screen.wait_for("[talk]")
    lines = [line.strip() for line in screen.text.splitlines()]
    assert "a reply of many words that is" in lines
    assert "much longer than the terminal" in lines
