"""The chat as a script uses it: lines in, plain text out, and an exit code."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import pytest

from tests.support.commands import clawdbot
from tests.support.scripted_dialogue import ScriptedDialogue, said, serving

pytestmark = pytest.mark.integration


async def test_each_line_is_a_turn_and_the_chat_ends_with_the_last(tmp_path):
    dialogue = ScriptedDialogue({"hello": said("Hel", "lo!")})
    async with serving(dialogue) as address:
        result = await clawdbot(
            "chat", "--addr", address, state=tmp_path, lines="hello\n\nlast line without end"
        )
    assert result.code == 0
    assert result.out == "you › hello\nHello!\n[talk]\nyou › \nyou › last line without end\nYes.\n[talk]\n"
    assert result.err.startswith("Conversation s-1 in chat v1.")


async def test_empty_input_is_not_an_error(tmp_path):
    async with serving(ScriptedDialogue()) as address:
        result = await clawdbot("chat", "--addr", address, state=tmp_path)
    assert result.code == 0


async def test_standard_input_may_be_a_file(tmp_path):
    """An event loop cannot wait for a plain file."""
    script = tmp_path / "script"
    script.write_text("hello\n" * 200)
    async with serving(ScriptedDialogue()) as address:
        result = await clawdbot("chat", "--addr", address, state=tmp_path, stdin=script)
    assert result.code == 0
    assert result.out.count("Yes.") == 200


async def test_only_text_reaches_a_pipe(tmp_path):
    """Neither colours nor control characters of a reply."""
    async with serving(ScriptedDialogue({"hello": said("\x1b[31mred")})) as address:
        result = await clawdbot("chat", "--addr", address, state=tmp_path, lines="hello\n/help\n/switch\n")
    assert "\x1b" not in result.out + result.err
    assert "␛[31mred" in result.out


async def test_bytes_that_are_not_utf8_are_replaced(tmp_path):
    async with serving(ScriptedDialogue()) as address:
        result = await clawdbot("chat", "--addr", address, state=tmp_path, lines=b"caf\xe9\n")
    assert result.code == 0
    assert "you › caf\N{REPLACEMENT CHARACTER}" in result.out


async def test_an_address_without_a_server_is_one_sentence(tmp_path):
    result = await clawdbot("chat", "--addr", "127.0.0.1:1", state=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("No server is listening at 127.0.0.1:1. Start a server there")
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--session", "nope"), "There is no session nope. (SESSION_NOT_FOUND)"),
        (("--flow", "nope"), "There is no flow nope. (FLOW_NOT_FOUND)"),
        (("--flow", "chat", "--session", "s-1"), "not both"),
        (("--key-file", "missing"), "--key-file missing: cannot be read"),
    ],
)
async def test_a_chat_that_cannot_start_is_one_sentence(tmp_path, options, sentence):
    async with serving(ScriptedDialogue()) as address:
        result = await clawdbot("chat", "--addr", address, *options, state=tmp_path)
    assert result.code == 2
    assert sentence in result.err
    assert "Traceback" not in result.err


async def test_a_key_from_the_environment_is_sent_to_the_server(tmp_path):
    dialogue = ScriptedDialogue()
    async with serving(dialogue) as address:
        await clawdbot(
            "chat", "--addr", address, state=tmp_path, environment={"CLAWDBOT_API_KEY": "cb_test_0123456789"}
        )
    assert dialogue.keys == ["Bearer cb_test_0123456789"]


async def test_a_closed_output_ends_the_chat_quietly(tmp_path):
    """`clawdbot chat … | head -1` prints no traceback."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(ScriptedDialogue()))
        read, write = os.pipe()
        os.close(read)
        result = await clawdbot("chat", "--addr", address, state=tmp_path, lines="a\nb\nc\n", stdout=write)
        os.close(write)
    assert "Traceback" not in result.err
