"""A turn is shown once, whole and in order, also when its stream breaks."""

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
def view(output):
    return TurnView(output.screen)


def test_chunks_of_a_reply_make_one_line(view, output):
    for event in [*said("Hel", "lo ", "there."), finished()]:
        view.show(event)
    assert output.conversation == "Hello there.\n[talk]\n"


def test_two_replies_make_two_lines(view, output):
    for event in [*said("One."), *said("Two.", index=1), finished()]:
        view.show(event)
    assert output.conversation == "One.\nTwo.\n[talk]\n"


def test_a_tool_call_is_shown_between_the_texts_around_it(view, output):
    for event in [*said("Let me see."), call(), answered("12:00"), *said("Noon.", index=1), finished()]:
        view.show(event)
    assert output.conversation == "Let me see.\n  ⚙ clock.now\n  → 12:00\nNoon.\n[talk]\n"


def test_a_call_with_unknown_outcome_is_marked(view, output):
    for event in [call("tables.reserve"), answered("", unknown=True), finished()]:
        view.show(event)
    assert "unknown whether this call took effect" in output.conversation


@pytest.mark.parametrize("broken_after", range(7))
def test_a_stream_joined_again_repeats_nothing(view, output, broken_after):
    """Broken anywhere and replayed from its first event, the turn reads as if nothing had happened."""
    events = [*said("Let ", "me see."), call(), answered("12:00"), *said("No", "on.", index=1), finished()]
    for event in events[:broken_after]:
        view.show(event)
    view.rejoin()
    for event in events:
        view.show(event)
    # A break ends the line that was open; nothing else may differ.
    expected = "Let me see.\n  ⚙ clock.now\n  → 12:00\nNoon.\n[talk]\n"
    assert output.conversation.replace("\n", "") == expected.replace("\n", "")


def test_a_rejoined_stream_may_have_other_chunks(view, output):
    for event in said("Hel", "lo"):
        view.show(event)
    view.rejoin()
    for event in [*said("H", "ello wor", "ld"), finished()]:
        view.show(event)
    assert output.conversation == "Hello\n wor" + "ld\n[talk]\n"


def test_a_reply_that_was_generated_again_is_shown_whole(view, output):
    """After a crash a model may reply differently: half of one and half of the other would be nonsense."""
    for event in said("Good mor"):
        view.show(event)
    view.rejoin()
    for event in [*said("Good ", "evening!"), finished()]:
        view.show(event)
    assert output.conversation == "Good mor\n(the reply was started again)\nGood evening!\n[talk]\n"


def test_replies_that_were_not_streamed_are_shown_at_the_end(view, output):
    view.show(finished(replies=[reply("Said all at once.")]))
    assert output.conversation == "Said all at once.\n[talk]\n"


def test_a_failed_turn_says_why(view, output):
    error = pb.TurnError(reason="MODEL_UNAVAILABLE", message="The model does not answer.")
    view.show(finished(status=pb.TURN_STATUS_FAILED, error=error))
    assert output.conversation == "The model does not answer. (MODEL_UNAVAILABLE)\n[talk]\n"


def test_a_stopped_turn_is_marked(view, output):
    for event in [*said("Once upon"), finished(status=pb.TURN_STATUS_CANCELLED)]:
        view.show(event)
    assert output.conversation == "Once upon\n(stopped)\n[talk]\n"


def test_the_state_and_the_slots_come_last(view, output):
    session = Session(state="confirm")
    session.slots.update({"party_size": 4, "date": "2026-11-25"})
    view.show(finished(session))
    assert output.conversation == "[confirm] date=2026-11-25 party_size=4\n"


def test_the_end_of_a_conversation_says_how_to_start_another(view, output):
    view.show(finished(Session(flow="book_table", state="done", status=SESSION_STATUS_ENDED)))
    assert "/flow book_table to start another" in output.conversation


def test_a_handoff_names_the_queue(view, output):
    for event in [StreamTurnResponse(handoff=pb.Handoff(queue="support")), finished()]:
        view.show(event)
    assert "A person is taking over (queue support)." in output.conversation


def test_reasoning_and_reply_are_on_separate_lines(view, output):
    thought = StreamTurnResponse(reasoning_delta=pb.TurnReasoningDelta(text="They greet."))
    for event in [thought, *said("Hello!"), finished()]:
        view.show(event)
    assert output.conversation == "They greet.\nHello!\n[talk]\n"


def test_an_escape_sequence_split_over_chunks_is_harmless(view, output):
    for event in [*said("\x1b", "[2", "J"), finished()]:
        view.show(event)
    assert "\x1b" not in output.conversation
    assert "␛[2J" in output.conversation


def test_events_of_later_versions_are_ignored(view, output):
    view.show(StreamTurnResponse(sequence=1))
    assert output.conversation == ""


def test_a_handed_off_session_says_at_every_turn_that_messages_are_not_answered(view, output):
    session = Session(state="human", status=SESSION_STATUS_HANDED_OFF, handoff_queue="support")
    view.show(finished(session))
    assert "A person has taken over (queue support). Your messages are kept" in output.conversation


def test_a_handoff_is_shown_once(view, output):
    session = Session(state="human", status=SESSION_STATUS_HANDED_OFF, handoff_queue="support")
    for event in [StreamTurnResponse(handoff=pb.Handoff(queue="support")), finished(session)]:
        view.show(event)
    assert output.conversation.count("queue support") == 1
