"""What can be typed instead of words does what /help says, and says plainly when it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part
from clawdbot.dialogue.v1 import turn_pb2
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_HANDED_OFF
from clawdbot_cli.chat.client import Client
from clawdbot_cli.chat.commands import COMMANDS
from clawdbot_cli.chat.conversation import Conversation
from clawdbot_cli.chat.interrupts import Interrupts
from clawdbot_cli.chat.turns import Turns
from clawdbot_cli.connection import remote

from tests.support.scripted_dialogue import ScriptedDialogue, reply, said, serving


class Typed:
    """Lines typed beforehand."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    async def next(self) -> str | None:
        return next(self._lines, None)


@asynccontextmanager
async def conversing(
    dialogue: ScriptedDialogue, paper, key: str | None = None
) -> AsyncIterator[Conversation]:
    async with serving(dialogue) as address, remote(address, None) as connection:
        client, interrupts = Client(connection.channel, key), Interrupts()
        turns = Turns(client, connection, paper.screen, interrupts, 20)
        yield Conversation(client, connection, paper.screen, turns, options=["--addr", address])


async def typed(paper, *lines: str, dialogue: ScriptedDialogue | None = None) -> Conversation:
    """The conversation after the lines; what was shown before them is forgotten."""
    async with conversing(dialogue or ScriptedDialogue(), paper) as conversation:
        await conversation.begin("chat")
        paper.clear()
        await conversation.hold(Typed(lines))
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


async def test_state_tells_flow_state_status_and_slots(paper):
    dialogue = ScriptedDialogue()
    dialogue.session.slots.update({"party_size": 4})
    dialogue.session.status = SESSION_STATUS_HANDED_OFF
    dialogue.session.handoff_queue = "support"
    await typed(paper, "/state", dialogue=dialogue)
    assert [line.split() for line in paper.conversation.splitlines()] == [
        ["flow", "chat", "v1"],
        ["state", "talk"],
        ["status", "handed", "off"],
        ["turns", "0"],
        ["queue", "support"],
        ["party_size", "4"],
    ]


async def test_history_shows_turns_in_order_over_all_pages(paper):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, f"ask {number}", f"answer {number}") for number in range(1, 6)]
    await typed(paper, "/history", dialogue=dialogue)
    expected = [line for number in range(1, 6) for line in (f"you › ask {number}", f"answer {number}")]
    assert paper.conversation.splitlines() == expected


async def test_a_long_history_shows_its_end(paper):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, "ask", f"answer {number}") for number in range(1, 31)]
    await typed(paper, "/history", dialogue=dialogue)
    assert "The last 20 turns of 30:" in paper.notes
    assert paper.conversation.splitlines()[-1] == "answer 30"


async def test_an_empty_history_says_so(paper):
    await typed(paper, "/history")
    assert paper.notes == "Nothing has been said yet.\n"


async def test_cancel_ends_what_is_still_open(paper):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(1, "a", "b"), turn(2, "c", "", status=turn_pb2.TURN_STATUS_RUNNING)]
    cancelled = []
    original = dialogue.CancelTurn

    async def noting(request, context):
        cancelled.append(request.turn_id)
        return await original(request, context)

    dialogue.CancelTurn = noting
    await typed(paper, "/cancel", dialogue=dialogue)
    assert cancelled == ["t-2"]
    assert paper.notes == "Stopped 1 turn.\n"


async def test_cancel_with_nothing_to_cancel_says_so(paper):
    await typed(paper, "/cancel")
    assert paper.notes.startswith("Nothing is running")


async def test_switch_points_the_chat_alias_at_a_model_and_tells_the_time(paper):
    dialogue = ScriptedDialogue()
    await typed(paper, "/switch echo/echo", dialogue=dialogue)
    (request,) = dialogue.switched
    assert (request.alias, [each.target for each in request.targets]) == ("chat", ["echo/echo"])
    assert paper.notes == "“chat” is echo/echo now instead of openai/gpt; switched in 0.125 ms.\n"


async def test_switch_alone_lists_the_models(paper):
    await typed(paper, "/switch")
    assert paper.conversation.splitlines() == ["chat       → echo/echo", "echo/echo  echo"]


async def test_an_unknown_model_is_one_sentence_with_its_reason(paper):
    await typed(paper, "/switch no/such")
    assert paper.notes == "There is no such model. (MODEL_NOT_FOUND)\n"


async def test_flows_are_listed_with_what_they_are_for(paper):
    await typed(paper, "/flows")
    assert paper.conversation == "chat v1  Talk about anything\n"


async def test_flow_begins_another_conversation(paper):
    conversation = await typed(paper, "/flow book_table")
    assert conversation.session.flow == "book_table"
    assert "Conversation s-1 in book_table v1" in paper.notes


async def test_an_unknown_flow_leaves_the_conversation_as_it_is(paper):
    conversation = await typed(paper, "/flow nope")
    assert conversation.session.flow == "chat"
    assert "There is no flow nope. (FLOW_NOT_FOUND)" in paper.notes


async def test_help_lists_every_command(paper):
    await typed(paper, "/help")
    shown = [line.split()[0] for line in paper.conversation.splitlines()]
    assert shown == [f"/{name}" for name in COMMANDS]


async def test_quit_leaves_and_reads_no_further(paper):
    dialogue = ScriptedDialogue({"hello": said("Hello!")})
    await typed(paper, "/quit", "hello", dialogue=dialogue)
    assert paper.conversation == ""


@pytest.mark.parametrize(
    ("line", "hint"),
    [("/histroy", "Did you mean /history?"), ("/xyzzy", "/help lists them."), ("/", "/help lists them.")],
)
async def test_an_unknown_command_gets_a_hint_and_is_not_said(paper, line, hint):
    dialogue = ScriptedDialogue()
    await typed(paper, line, dialogue=dialogue)
    assert hint in paper.notes
    assert not dialogue.told


async def test_the_beginning_of_a_command_is_enough_where_it_is_clear(paper):
    await typed(paper, "/sta")
    assert paper.conversation.startswith("flow")


async def test_the_beginning_of_two_commands_is_asked_about(paper):
    await typed(paper, "/s")
    assert "Did you mean /state or /switch?" in paper.notes


async def test_a_slash_after_a_space_is_said(paper):
    dialogue = ScriptedDialogue({"/state of the union": said("Fine.")})
    await typed(paper, " /state of the union", dialogue=dialogue)
    assert paper.conversation == "Fine.\n[talk]\n"


async def test_blank_lines_are_passed_over(paper):
    dialogue = ScriptedDialogue()
    await typed(paper, "", "   ", dialogue=dialogue)
    assert not dialogue.told


async def test_what_the_flow_says_first_is_shown(paper):
    dialogue = ScriptedDialogue()
    dialogue.opening = turn_pb2.Turn(replies=[reply("Hello! What can I do for you?")])
    async with conversing(dialogue, paper) as conversation:
        await conversation.begin("chat")
    assert paper.conversation == "Hello! What can I do for you?\n[talk]\n"


async def test_resuming_shows_the_last_turns(paper):
    dialogue = ScriptedDialogue()
    dialogue.turns = [turn(number, f"ask {number}", f"answer {number}") for number in range(1, 6)]
    async with conversing(dialogue, paper) as conversation:
        await conversation.resume("s-1")
    assert paper.conversation.splitlines()[0] == "you › ask 3"
    assert paper.conversation.splitlines()[-2:] == ["answer 5", "[talk]"]


async def test_the_key_goes_with_every_conversation(paper):
    dialogue = ScriptedDialogue()
    async with conversing(dialogue, paper, key="cb_test_1234567890") as conversation:
        await conversation.begin("chat")
    assert dialogue.keys == ["Bearer cb_test_1234567890"]
