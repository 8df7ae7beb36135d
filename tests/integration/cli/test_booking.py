"""The whole suite through the chat: a table is booked, and a conversation is resumed."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.commands import clawdbot, running_clawdbot
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

BOOKING = "a table for 4 tomorrow at 7pm\nyes\n"
QUIET = {"CLAWDBOT_TELEMETRY__METRICS_PORT": "0"}


def session_id(err: str) -> str:
    """The session id that the chat printed."""
    found = re.search(r"Conversation (\S+) in", err)
    assert found, err
    return found[1]


async def test_a_table_is_booked_at_a_running_suite(tmp_path):
    port = free_port()
    async with running_clawdbot("up", "--port", str(port), state=tmp_path, environment=QUIET) as suite:
        await suite.wait_for("how to use it")
        address = f"127.0.0.1:{port}"
        result = await clawdbot(
            *("chat", "--flow", "book_table", "--addr", address), state=tmp_path, lines=BOOKING
        )
        assert result.code == 0, result.err
        assert "Booked. Reference" in result.out
        assert "tables.reserve" in result.out
        assert "party_size=4" in result.out
        assert await suite.stop(signal.SIGINT) == 0


async def test_a_table_is_booked_without_a_running_suite(tmp_path):
    """The chat starts a suite in its own process and says so."""
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    result = await clawdbot(
        *("chat", "--flow", "book_table"), state=tmp_path, lines=BOOKING, environment=environment
    )
    assert result.code == 0, result.err
    assert "Starting one in this process." in result.err
    assert "Booked. Reference" in result.out


async def test_a_table_is_booked_in_chinese(tmp_path):
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    result = await clawdbot(
        *("chat", "--flow", "book_table", "--locale", "zh-CN"),
        state=tmp_path,
        lines="明晚七点四位\n好的，留名李雷\n",
        environment=environment,
    )
    assert result.code == 0, result.err
    assert "请问几位？" in result.out
    assert "订好了，编号" in result.out


async def test_a_conversation_is_resumed_where_it_was_left(tmp_path):
    """By its id, in another process with the same state directory."""
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    first = await clawdbot(
        *("chat", "--flow", "book_table"),
        state=tmp_path,
        lines="a table for 4 tomorrow at 7pm\n",
        environment=environment,
    )
    second = await clawdbot(
        *("chat", "--session", session_id(first.err)), state=tmp_path, lines="yes\n", environment=environment
    )
    assert "a table for 4 tomorrow at 7pm" in second.out
    assert "Booked. Reference" in second.out


async def test_the_chat_finds_the_suite_that_up_has_started(tmp_path):
    """Both read the port from the same configuration."""
    environment = {**QUIET, "CLAWDBOT_SERVER__PORT": str(free_port())}
    async with running_clawdbot("up", state=tmp_path, environment=environment) as suite:
        await suite.wait_for("how to use it")
        result = await clawdbot("chat", state=tmp_path, lines="hello\n", environment=environment)
    assert "Connected to the suite at" in result.err
    assert result.code == 0


async def test_another_model_answers_after_a_switch(tmp_path):
    environment = {"CLAWDBOT_SERVER__PORT": str(free_port())}
    result = await clawdbot(
        "chat", state=tmp_path, lines="/switch echo/echo\nhello there\n", environment=environment
    )
    assert "“chat” is now echo/echo" in result.err
    assert "hello there" in result.out.partition("you › hello there")[2]
