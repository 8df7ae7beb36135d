"""The chat as a script uses it: lines in, plain text out, an exit code that says how it went."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import pytest

from tests.support.commands import clawdbot
from tests.support.scripted_dialogue import ScriptedDialogue, said, serving

pytestmark = pytest.mark.integration


async def test_each_line_is_a_turn_and_the_end_of_the_lines_the_end(tmp_path):
    dialogue = ScriptedDialogue({"hello": said("Hel", "lo!")})
    async with serving(dialogue) as address:
        ended = await clawdbot(
            "chat", "--addr", address, state=tmp_path, lines="hello\n\nlast line without end"
        )
    assert ended.code == 0
    assert ended.out == "you › hello\nHello!\n[talk]\nyou › \nyou › last line without end\nYes.\n[talk]\n"
    assert ended.err.startswith("Conversation s-1 in chat v1.")


async def test_no_lines_at_all_are_no_error(tmp_path):
    async with serving(ScriptedDialogue()) as address:
        ended = await clawdbot("chat", "--addr", address, state=tmp_path)
    assert ended.code == 0


async def test_a_file_can_be_said(tmp_path):
    """Standard input may be a plain file, which no event loop can wait for."""
    script = tmp_path / "script"
    script.write_text("hello\n" * 200)
    async with serving(ScriptedDialogue()) as address:
        ended = await clawdbot("chat", "--addr", address, state=tmp_path, stdin=script)
    assert ended.code == 0
    assert ended.out.count("Yes.") == 200


async def test_nothing_but_text_reaches_a_pipe(tmp_path):
    """Neither colours nor what a reply would do to a terminal."""
    async with serving(ScriptedDialogue({"hello": said("\x1b[31mred")})) as address:
        ended = await clawdbot("chat", "--addr", address, state=tmp_path, lines="hello\n/help\n/switch\n")
    assert "\x1b" not in ended.out + ended.err
    assert "␛[31mred" in ended.out


async def test_bytes_that_are_no_text_do_no_harm(tmp_path):
    async with serving(ScriptedDialogue()) as address:
        ended = await clawdbot("chat", "--addr", address, state=tmp_path, lines=b"caf\xe9\n")
    assert ended.code == 0
    assert "you › caf\N{REPLACEMENT CHARACTER}" in ended.out


async def test_an_address_with_nobody_there_is_one_sentence(tmp_path):
    ended = await clawdbot("chat", "--addr", "127.0.0.1:1", state=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Nobody listens at 127.0.0.1:1. Start it there")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--session", "nope"), "There is no session nope. (SESSION_NOT_FOUND)"),
        (("--flow", "nope"), "There is no flow nope. (FLOW_NOT_FOUND)"),
        (("--flow", "chat", "--session", "s-1"), "give one of them"),
        (("--key-file", "missing"), "--key-file missing: cannot be read"),
    ],
)
async def test_what_cannot_begin_is_one_sentence(tmp_path, options, sentence):
    async with serving(ScriptedDialogue()) as address:
        ended = await clawdbot("chat", "--addr", address, *options, state=tmp_path)
    assert ended.code == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err


async def test_a_key_from_the_environment_is_shown_to_the_server(tmp_path):
    dialogue = ScriptedDialogue()
    async with serving(dialogue) as address:
        await clawdbot(
            "chat", "--addr", address, state=tmp_path, environment={"CLAWDBOT_API_KEY": "cb_test_0123456789"}
        )
    assert dialogue.keys == ["Bearer cb_test_0123456789"]


async def test_a_closed_output_ends_the_chat_quietly(tmp_path):
    """`clawdbot chat … | head -1`: whoever reads no further wants no traceback."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(ScriptedDialogue()))
        read, write = os.pipe()
        os.close(read)
        ended = await clawdbot("chat", "--addr", address, state=tmp_path, lines="a\nb\nc\n", stdout=write)
        os.close(write)
    assert "Traceback" not in ended.err
