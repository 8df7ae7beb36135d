"""A turn is shown once, whole and in order, however its stream goes."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import Part, ToolCall, ToolResult
from clawdbot.dialogue.v1 import turn_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_HANDED_OFF, Session
from clawdbot_cli.chat.turn_view import TurnView

from tests.support.scripted_dialogue import reply, said


def finished(session: Session | None = None, **turn: object) -> StreamTurnResponse:
    turn.setdefault("status", pb.TURN_STATUS_DONE)
    end = pb.TurnFinished(turn=pb.Turn(**turn), session=session or Session(state="talk"))
    return StreamTurnResponse(turn_finished=end)


def call(name: str = "clock.now") -> StreamTurnResponse:
    return StreamTurnResponse(tool_call_started=pb.TurnToolCallStarted(call=ToolCall(id="c1", name=name)))


def answered(text: str, *, error: bool = False, unknown: bool = False) -> StreamTurnResponse:
    record = pb.ToolCallRecord(
        call=ToolCall(id="c1", name="clock.now"),
        result=ToolResult(call_id="c1", content=[Part(text=text)], is_error=error),
        outcome_unknown=unknown,
    )
    return StreamTurnResponse(tool_call_finished=pb.TurnToolCallFinished(record=record))


@pytest.fixture
def view(paper):
    return TurnView(paper.screen)


def test_pieces_of_a_reply_make_one_line(view, paper):
    for event in [*said("Hel", "lo ", "there."), finished()]:
        view.show(event)
    assert paper.conversation == "Hello there.\n[talk]\n"


def test_two_replies_make_two_lines(view, paper):
    for event in [*said("One."), *said("Two.", index=1), finished()]:
        view.show(event)
    assert paper.conversation == "One.\nTwo.\n[talk]\n"


def test_a_tool_call_stands_between_the_words_around_it(view, paper):
    for event in [*said("Let me see."), call(), answered("12:00"), *said("Noon.", index=1), finished()]:
        view.show(event)
    assert paper.conversation == "Let me see.\n  ⚙ clock.now\n  → 12:00\nNoon.\n[talk]\n"


def test_a_call_whose_fate_is_unknown_is_said_to_be_so(view, paper):
    for event in [call("tables.reserve"), answered("", unknown=True), finished()]:
        view.show(event)
    assert "it is not known whether this took place" in paper.conversation


@pytest.mark.parametrize("broken_after", range(7))
def test_a_stream_joined_again_repeats_nothing(view, paper, broken_after):
    """Broken anywhere and told again from its first event, the turn reads as if it had never been."""
    events = [*said("Let ", "me see."), call(), answered("12:00"), *said("No", "on.", index=1), finished()]
    for event in events[:broken_after]:
        view.show(event)
    view.rejoin()
    for event in events:
        view.show(event)
    # A break ends the line that was open; nothing else may differ.
    expected = "Let me see.\n  ⚙ clock.now\n  → 12:00\nNoon.\n[talk]\n"
    assert paper.conversation.replace("\n", "") == expected.replace("\n", "")


def test_a_rejoined_stream_may_cut_its_pieces_elsewhere(view, paper):
    for event in said("Hel", "lo"):
        view.show(event)
    view.rejoin()
    for event in [*said("H", "ello wor", "ld"), finished()]:
        view.show(event)
    assert paper.conversation == "Hello\n wor" + "ld\n[talk]\n"


def test_a_reply_that_was_made_anew_is_shown_whole(view, paper):
    """After a crash a model may say it differently: half of one and half of the other would be nonsense."""
    for event in said("Good mor"):
        view.show(event)
    view.rejoin()
    for event in [*said("Good ", "evening!"), finished()]:
        view.show(event)
    assert paper.conversation == "Good mor\n(the reply was begun anew)\nGood evening!\n[talk]\n"


def test_replies_that_were_not_streamed_are_shown_at_the_end(view, paper):
    view.show(finished(replies=[reply("Said all at once.")]))
    assert paper.conversation == "Said all at once.\n[talk]\n"


def test_a_failed_turn_says_why(view, paper):
    error = pb.TurnError(reason="MODEL_UNAVAILABLE", message="The model does not answer.")
    view.show(finished(status=pb.TURN_STATUS_FAILED, error=error))
    assert paper.conversation == "The model does not answer. (MODEL_UNAVAILABLE)\n[talk]\n"


def test_a_stopped_turn_says_so(view, paper):
    for event in [*said("Once upon"), finished(status=pb.TURN_STATUS_CANCELLED)]:
        view.show(event)
    assert paper.conversation == "Once upon\n(stopped)\n[talk]\n"


def test_the_state_and_the_slots_come_last(view, paper):
    session = Session(state="confirm")
    session.slots.update({"party_size": 4, "date": "2026-11-25"})
    view.show(finished(session))
    assert paper.conversation == "[confirm] date=2026-11-25 party_size=4\n"


def test_the_end_of_a_conversation_says_how_to_begin_another(view, paper):
    view.show(finished(Session(flow="book_table", state="done", status=SESSION_STATUS_ENDED)))
    assert "/flow book_table begins another" in paper.conversation


def test_a_handoff_names_the_queue(view, paper):
    for event in [StreamTurnResponse(handoff=pb.Handoff(queue="support")), finished()]:
        view.show(event)
    assert "A person takes over (queue support)." in paper.conversation


def test_reasoning_and_reply_are_apart(view, paper):
    thought = StreamTurnResponse(reasoning_delta=pb.TurnReasoningDelta(text="They greet."))
    for event in [thought, *said("Hello!"), finished()]:
        view.show(event)
    assert paper.conversation == "They greet.\nHello!\n[talk]\n"


def test_an_escape_sequence_in_pieces_is_harmless_too(view, paper):
    for event in [*said("\x1b", "[2", "J"), finished()]:
        view.show(event)
    assert "\x1b" not in paper.conversation
    assert "␛[2J" in paper.conversation


def test_events_of_later_versions_are_passed_over(view, paper):
    view.show(StreamTurnResponse(sequence=1))
    assert paper.conversation == ""


def test_a_handed_off_session_says_at_every_turn_that_nobody_answers_here(view, paper):
    session = Session(state="human", status=SESSION_STATUS_HANDED_OFF, handoff_queue="support")
    view.show(finished(session))
    assert "A person has taken over (queue support). What you write is kept" in paper.conversation


def test_a_handoff_is_told_once(view, paper):
    session = Session(state="human", status=SESSION_STATUS_HANDED_OFF, handoff_queue="support")
    for event in [StreamTurnResponse(handoff=pb.Handoff(queue="support")), finished(session)]:
        view.show(event)
    assert paper.conversation.count("queue support") == 1
