"""A model's reply within a turn: rounds of text and tool calls, their limits, and errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, ROLE_USER, Message, Part
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot.model_gateway.v1.generation_pb2 import ToolChoice
from clawdbot_dialogue.core.turns.context_window import fit_to_budget
from clawdbot_dialogue.core.turns.ports import GenerationError, ToolOutcomeUnknown, ToolRefused
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deadlines import expired
from tests.support.engine_cluster import event_kinds, reply_texts, running_cluster
from tests.support.scripted_peers import BROKEN_OFF, call
from tests.unit.dialogue.turns.conftest import CHAT


async def test_a_models_tool_calls_run_and_it_gets_the_results(cluster):
    session = await cluster.open_session()
    cluster.gateway.scripts.append(["Let me look. ", call("clock.now", "a", zone="UTC")])
    cluster.gateway.scripts.append(["It is noon."])
    events = await cluster.events(session, "what time is it?")
    assert event_kinds(events) == [
        "turn_started",
        "text_delta",
        "tool_call_started",
        "tool_call_finished",
        "text_delta",
        "turn_finished",
    ]
    turn = events[-1].turn_finished.turn
    assert reply_texts(turn) == ["Let me look. ", "It is noon."]
    assert [each.text_delta.reply_index for each in events if each.HasField("text_delta")] == [0, 1]
    assert turn.tool_calls[0].result.structured["time"] == "12:00"
    *_, asked, answered = cluster.gateway.requests[1].messages
    assert (asked.role, answered.role) == (ROLE_ASSISTANT, ROLE_TOOL)
    assert asked.parts[1].tool_call.id == answered.parts[0].tool_result.call_id == "a"
    assert turn.usage.output_tokens == 10
    (made,) = cluster.tools.calls
    assert (made.tool, made.context.session_id, made.context.turn_id) == ("clock.now", session.id, turn.id)
    assert (made.context.flow, made.context.state) == ("chat", "talk")


async def test_the_model_is_offered_the_states_tools_and_no_others(cluster):
    cluster.tools.add("other.tool", {})
    session = await cluster.open_session()
    await cluster.send(session, "hello")
    assert [each.name for each in cluster.gateway.requests[0].tools] == ["clock.now", "shop.buy"]


async def test_a_call_that_the_state_does_not_allow_gets_an_error_and_is_not_made(cluster):
    cluster.tools.add("other.tool", {})
    session = await cluster.open_session()
    cluster.gateway.scripts.append([call("other.tool", "a")])
    finished = await cluster.send(session, "hello")
    (record,) = finished.turn.tool_calls
    assert record.result.is_error
    assert record.result.structured["reason"] == "TOOL_NOT_ALLOWED"
    assert cluster.tools.calls == []
    assert finished.turn.status == TURN_STATUS_DONE


async def test_calls_without_a_unique_id_get_one(cluster):
    session = await cluster.open_session()
    for _ in range(2):
        cluster.gateway.scripts.append([call("clock.now", "call_0"), call("clock.now"), call("clock.now")])
        cluster.gateway.scripts.append(["Noon."])
        await cluster.send(session, "what time is it?")
    used = [each.call.id for turn in await cluster.turns(session) for each in turn.tool_calls]
    assert len(used) == 6
    assert len(set(used)) == 6
    assert used[0] == "call_0"


async def test_a_tools_own_error_goes_to_the_model(cluster):
    session = await cluster.open_session()
    cluster.tools.add("clock.now", {"failed": True})
    cluster.gateway.scripts.append([call("clock.now", "a")])
    cluster.gateway.scripts.append(["I cannot tell."])
    finished = await cluster.send(session, "what time is it?")
    assert finished.turn.status == TURN_STATUS_DONE
    assert finished.turn.tool_calls[0].result.is_error
    assert cluster.gateway.requests[1].messages[-1].parts[0].tool_result.is_error


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ToolRefused("TOOL_BUSY", "Too many."), "TOOL_BUSY"),
        (ToolOutcomeUnknown("PLUGINS_UNAVAILABLE", "Gone."), "PLUGINS_UNAVAILABLE"),
    ],
)
async def test_a_tool_that_could_not_run_gives_an_error_result(cluster, failure, reason):
    session = await cluster.open_session()
    cluster.tools.add("clock.now", failure)
    cluster.gateway.scripts.append([call("clock.now", "a")])
    finished = await cluster.send(session, "what time is it?")
    (record,) = finished.turn.tool_calls
    assert record.result.is_error
    assert record.result.structured["reason"] == reason
    assert not record.outcome_unknown


async def test_a_lost_call_with_effect_once_has_an_unknown_outcome(cluster):
    session = await cluster.open_session()
    cluster.tools.add("shop.buy", ToolOutcomeUnknown("PLUGINS_UNAVAILABLE", "Gone."), "once")
    cluster.gateway.scripts.append([call("shop.buy", "a")])
    finished = await cluster.send(session, "buy it")
    assert finished.turn.tool_calls[0].outcome_unknown


async def test_a_model_that_never_stops_calling_tools_is_stopped(cluster):
    session = await cluster.open_session()
    rounds = cluster.limits.tool_rounds
    for n in range(rounds + 1):
        cluster.gateway.scripts.append([call("clock.now", f"c{n}")])
    finished = await cluster.send(session, "what time is it?")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "GENERATION_FAILED"
    assert "TOOL_ROUNDS_EXCEEDED" in finished.turn.error.message
    assert len(cluster.tools.calls) == rounds
    modes = [request.tool_choice.mode for request in cluster.gateway.requests]
    assert modes == [0] * rounds + [ToolChoice.MODE_NONE]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([GenerationError("MODEL_NOT_FOUND", "There is no model chat.")], "MODEL_NOT_FOUND"),
        (["Half a sen", GenerationError("GATEWAY_UNAVAILABLE", "It is gone.")], "GATEWAY_UNAVAILABLE"),
        (["Half a sen", BROKEN_OFF], "broke in the middle of its reply"),
        ([], "EMPTY_REPLY"),
        (["  \n"], "EMPTY_REPLY"),
    ],
)
async def test_a_model_without_a_reply_fails_the_turn_and_not_the_session(cluster, script, reason):
    session = await cluster.open_session()
    cluster.gateway.scripts.append(script)
    finished = await cluster.send(session, "hello")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "GENERATION_FAILED"
    assert reason in finished.turn.error.message
    assert reply_texts(finished.turn), "the person gets a reply"
    assert reply_texts((await cluster.send(session, "again")).turn) == ["Echo: again"]


async def test_a_turn_times_out(tmp_path):
    async with running_cluster("memory", tmp_path) as cluster:
        cluster.flow(CHAT)
        cluster.tools.add("clock.now", lambda _: _forever())

        async def attempt(seconds):
            cluster.limits = replace(cluster.limits, turn_timeout=seconds)
            node = await cluster.join()
            session = await cluster.open_session()
            cluster.gateway.scripts.clear()
            cluster.gateway.scripts.append(["Let me see. ", call("clock.now", "a")])
            return await node.send(session, "what time is it?")

        finished = await expired(attempt, lambda: cluster.tools.calls)
        assert finished.turn.error.reason == "TURN_TIMEOUT"
        assert reply_texts(finished.turn) == ["Let me see. "]
        assert finished.turn.tool_calls[0].result.is_error
        assert cluster.tools.running == 0


async def _forever():
    import asyncio

    await asyncio.get_running_loop().create_future()


def message(text: str, role: int = ROLE_USER) -> Message:
    return Message(role=role, parts=[Part(text=text)])


TRANSCRIPT = [
    message("a" * 100),
    message("b" * 100, ROLE_ASSISTANT),
    message("c" * 100, ROLE_TOOL),
    message("d" * 100),
    message("e" * 100, ROLE_ASSISTANT),
]


@pytest.mark.parametrize(("limit", "first"), [(10_000, 0), (540, 0), (500, 3), (230, 3), (1, 3)])
def test_a_long_history_is_cut_before_a_message_of_the_person(limit, first):
    assert list(fit_to_budget(TRANSCRIPT, limit)) == TRANSCRIPT[first:]


@given(
    st.lists(st.tuples(st.sampled_from([ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL]), st.integers(0, 50))),
    st.integers(1, 500),
)
def test_a_history_is_cut_at_its_beginning_and_no_more_than_needed(shape, limit):
    messages = [message("x" * size, role) for role, size in shape]
    kept = list(fit_to_budget(messages, limit))
    assert kept == messages[len(messages) - len(kept) :]
    if len(kept) < len(messages):
        assert kept[0].role == ROLE_USER
        assert sum(each.ByteSize() for each in messages) > limit
