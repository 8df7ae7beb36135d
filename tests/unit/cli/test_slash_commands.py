"""The slash commands do what /help says, and report plainly when they cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part
from clawdbot.dialogue.v1 import turn_pb2
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_HANDED_OFF
from clawdbot_cli.chat.client import ChatClient
from clawdbot_cli.chat.commands import COMMANDS
from clawdbot_cli.chat.conversation import Conversation
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.turns import TurnRunner
from clawdbot_cli.connection import connect

from tests.support.scripted_dialogue import ScriptedDialogue, reply, said, serving


class TypedLines:
    """Lines that were typed beforehand."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    async def next_line(self) -> str | None:
        return next(self._lines, None)


@asynccontextmanager
async def chatting(dialogue: ScriptedDialogue, output, key: str | None = None) -> AsyncIterator[Conversation]:
    async with serving(dialogue) as address, connect(address, None) as connection:
        client, interrupts = ChatClient(connection.channel, key), Interrupts()
        turns = TurnRunner(client, connection, output.screen, interrupts, 20)
        yield Conversation(client, connection, output.screen, turns, server_arguments=["--addr", address])


async def typed(output, *lines: str, dialogue: ScriptedDialogue | None = None) -> Conversation:
    """The conversation after the lines; the output before them is discarded."""
    async with chatting(dialogue or ScriptedDialogue(), output) as conversation:
        await conversation.start("chat")
        output.clear()
        await conversation.run(TypedLines(lines))
        return conversation


def turn(number: int, asked: str, answered: str, **more: object) -> turn_pb2.Turn:
    return turn_pb2.Turn(
        id=f"t-{number}",
        number=number,
        status=more.pop("status", turn_pb2.TURN_STATUS_DONE),
        input=Message(role=ROLE_USER, parts=[Part(text=asked)]),
        replies=[reply(answered)],
        **more,
    )


async def test_state_shows_flow_state_status_and_slots(output):
    dialogue = ScriptedDialogue()
    dialogue.session.slots.update({"party_size": 4})
    dialogue.session.status = SESSION_STATUS_HANDED_OFF
    dialogue.session.handoff_queue = "support"
    await typed(output, "/state", dialogue=dialogue)
    assert [line.split() for line in output.conversation.splitlines()] == [
        ["flow", "chat", "v1"],
        ["state", "talk"],
        ["status", "handed", "off"],
        ["turns", "0"],
        ["queue", "support"],
        ["party_size", "4"],
    ]


async def test_history_shows_turns_in_order_over_all_pages(output):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, f"ask {number}", f"answer {number}") for number in range(1, 6)]
    await typed(output, "/history", dialogue=dialogue)
    expected = [line for number in range(1, 6) for line in (f"you › ask {number}", f"answer {number}")]
    assert output.conversation.splitlines() == expected


async def test_a_long_history_shows_its_end(output):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, "ask", f"answer {number}") for number in range(1, 31)]
    await typed(output, "/history", dialogue=dialogue)
    assert "The last 20 of 30 turns:" in output.notes
    assert output.conversation.splitlines()[-1] == "answer 30"


async def test_an_empty_history_says_so(output):
    await typed(output, "/history")
    assert output.notes == "There are no turns yet.\n"


async def test_cancel_stops_the_turns_that_are_open(output):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(1, "a", "b"), turn(2, "c", "", status=turn_pb2.TURN_STATUS_RUNNING)]
    cancelled = []
    original = dialogue.CancelTurn

    async def recording(request, context):
        cancelled.append(request.turn_id)
        return await original(request, context)

    dialogue.CancelTurn = recording
    await typed(output, "/cancel", dialogue=dialogue)
    assert cancelled == ["t-2"]
    assert output.notes == "Stopped 1 turn.\n"


async def test_cancel_with_nothing_to_cancel_says_so(output):
    await typed(output, "/cancel")
    assert output.notes.startswith("No turn is running.")


async def test_switch_points_the_chat_alias_at_a_model_and_shows_the_time(output):
    dialogue = ScriptedDialogue()
    await typed(output, "/switch echo/echo", dialogue=dialogue)
    (request,) = dialogue.switched
    assert (request.alias, [each.target for each in request.targets]) == ("chat", ["echo/echo"])
    assert output.notes == "“chat” is now echo/echo instead of openai/gpt (switched in 0.125 ms).\n"


async def test_switch_without_a_model_lists_them(output):
    await typed(output, "/switch")
    assert output.conversation.splitlines() == ["chat       → echo/echo", "echo/echo  echo"]


async def test_an_unknown_model_is_one_sentence_with_its_reason(output):
    await typed(output, "/switch no/such")
    assert output.notes == "There is no such model. (MODEL_NOT_FOUND)\n"


async def test_flows_are_listed_with_their_descriptions(output):
    await typed(output, "/flows")
    assert output.conversation == "chat v1  Talk about anything\n"


async def test_flow_starts_another_conversation(output):
    conversation = await typed(output, "/flow book_table")
    assert conversation.session.flow == "book_table"
    assert "Conversation s-1 in book_table v1" in output.notes


async def test_an_unknown_flow_keeps_the_current_conversation(output):
    conversation = await typed(output, "/flow nope")
    assert conversation.session.flow == "chat"
    assert "There is no flow nope. (FLOW_NOT_FOUND)" in output.notes


async def test_help_lists_every_command(output):
    await typed(output, "/help")
    shown = [line.split()[0] for line in output.conversation.splitlines()]
    assert shown == [f"/{name}" for name in COMMANDS]


async def test_quit_reads_no_more_lines(output):
    dialogue = ScriptedDialogue({"hello": said("Hello!")})
    await typed(output, "/quit", "hello", dialogue=dialogue)
    assert output.conversation == ""


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/histroy", "Did you mean /history?"),
        ("/xyzzy", "Type /help for a list."),
        ("/", "Type /help for a list."),
    ],
)
async def test_an_unknown_command_gets_a_hint_and_is_not_sent(output, line, hint):
    dialogue = ScriptedDialogue()
    await typed(output, line, dialogue=dialogue)
    assert hint in output.notes
    assert not dialogue.told


async def test_an_unambiguous_prefix_of_a_command_is_enough(output):
    await typed(output, "/sta")
    assert output.conversation.startswith("flow")


async def test_an_ambiguous_prefix_lists_the_commands(output):
    await typed(output, "/s")
    assert "Did you mean /state or /switch?" in output.notes


async def test_a_slash_after_a_space_is_sent(output):
    dialogue = ScriptedDialogue({"/state of the union": said("Fine.")})
    await typed(output, " /state of the union", dialogue=dialogue)
    assert output.conversation == "Fine.\n[talk]\n"


async def test_blank_lines_are_skipped(output):
    dialogue = ScriptedDialogue()
    await typed(output, "", "   ", dialogue=dialogue)
    assert not dialogue.told


async def test_the_opening_of_the_flow_is_shown(output):
    dialogue = ScriptedDialogue()
    dialogue.opening = turn_pb2.Turn(replies=[reply("Hello! What can I do for you?")])
    async with chatting(dialogue, output) as conversation:
        await conversation.start("chat")
    assert output.conversation == "Hello! What can I do for you?\n[talk]\n"


async def test_resuming_shows_the_last_turns(output):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, f"ask {number}", f"answer {number}") for number in range(1, 6)]
    async with chatting(dialogue, output) as conversation:
        await conversation.resume("s-1")
    assert output.conversation.splitlines()[0] == "you › ask 3"
    assert output.conversation.splitlines()[-2:] == ["answer 5", "[talk]"]


async def test_the_key_is_sent_with_a_new_conversation(output):
    dialogue = ScriptedDialogue()
    async with chatting(dialogue, output, key="cb_test_1234567890") as conversation:
        await conversation.start("chat")
    assert dialogue.keys == ["Bearer cb_test_1234567890"]
