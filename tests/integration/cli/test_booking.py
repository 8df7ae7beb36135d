"""The whole suite through the chat: a table is booked, and a conversation is taken up again."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.commands import clawdbot, running
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

BOOKING = "a table for 4 tomorrow at 7pm\nyes\n"
QUIET = {"CLAWDBOT_TELEMETRY__METRICS_PORT": "0"}


def session_of(err: str) -> str:
    """The conversation that the chat says it began."""
    found = re.search(r"Conversation (\S+) in", err)
    assert found, err
    return found[1]


async def test_a_table_is_booked_at_a_running_suite(tmp_path):
    port = free_port()
    async with running("up", "--port", str(port), state=tmp_path, environment=QUIET) as suite:
        await suite.say("how to use it")
        address = f"127.0.0.1:{port}"
        ended = await clawdbot(
            *("chat", "--flow", "book_table", "--addr", address), state=tmp_path, lines=BOOKING
        )
        assert ended.code == 0, ended.err
        assert "Booked. Reference" in ended.out
        assert "tables.reserve" in ended.out
        assert "party_size=4" in ended.out
        assert await suite.end(signal.SIGINT) == 0


async def test_a_table_is_booked_without_a_running_suite(tmp_path):
    """The chat starts a suite of its own, says so, and leaves nothing running."""
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    ended = await clawdbot(
        *("chat", "--flow", "book_table"), state=tmp_path, lines=BOOKING, environment=environment
    )
    assert ended.code == 0, ended.err
    assert "starting one in this process" in ended.err
    assert "Booked. Reference" in ended.out


async def test_a_table_is_booked_in_chinese(tmp_path):
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    ended = await clawdbot(
        *("chat", "--flow", "book_table", "--locale", "zh-CN"),
        state=tmp_path,
        lines="明晚七点四位\n好的，留名李雷\n",
        environment=environment,
    )
    assert ended.code == 0, ended.err
    assert "请问几位？" in ended.out
    assert "订好了，编号" in ended.out


async def test_a_conversation_is_taken_up_where_it_was_left(tmp_path):
    """By its id, in another process on the same state."""
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    first = await clawdbot(
        *("chat", "--flow", "book_table"),
        state=tmp_path,
        lines="a table for 4 tomorrow at 7pm\n",
        environment=environment,
    )
    second = await clawdbot(
        *("chat", "--session", session_of(first.err)), state=tmp_path, lines="yes\n", environment=environment
    )
    assert "a table for 4 tomorrow at 7pm" in second.out
    assert "Booked. Reference" in second.out


async def test_the_chat_finds_the_suite_that_up_has_started(tmp_path):
    """Both read the same configuration, so that neither needs to be told the port."""
    environment = {**QUIET, "CLAWDBOT_SERVER__PORT": str(free_port())}
    async with running("up", state=tmp_path, environment=environment) as suite:
        await suite.say("how to use it")
        ended = await clawdbot("chat", state=tmp_path, lines="hello\n", environment=environment)
    assert "Talking to the suite at" in ended.err
    assert ended.code == 0


async def test_another_model_answers_after_a_switch(tmp_path):
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    ended = await clawdbot(
        "chat", state=tmp_path, lines="/switch echo/echo\nhello there\n", environment=environment
    )
    assert "“chat” is echo/echo now" in ended.err
    assert "hello there" in ended.out.partition("you › hello there")[2]
