"""A process dies at any point of a turn: the turn still ends, and nothing happens twice."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import TurnNotFound

from tests.support.engine_cluster import ERRAND, TENANT, event_kinds, reply_texts, turn_request
from tests.support.scripted_peers import Hold, call

THANKS = ["Thank you."]
UNKNOWN = ["I do not know whether that was bought.", "How many?"]

POINTS = [
    # where the process dies (method, n-th call of it, done), the replies in the end, how often the tool ran
    (("accept_turn", 1, True), THANKS, 1),
    (("read_journal", 1, False), THANKS, 1),
    (("read_journal", 1, True), THANKS, 1),
    (("write_journal", 1, False), THANKS, 1),
    (("write_journal", 1, True), UNKNOWN, 0),
    (("write_journal", 2, False), UNKNOWN, 1),
    (("write_journal", 2, True), THANKS, 1),
    (("commit", 1, False), THANKS, 1),
    (("commit", 1, True), THANKS, 1),
]


async def start_and_crash(cluster, session, given, request_id="r1"):
    """Starts a turn, and kills the process where the store stalls."""
    caller = asyncio.create_task(cluster.newest.send(session, given, request_id=request_id))
    await cluster.store.stalled.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    return await cluster.crash()


@pytest.mark.parametrize(("point", "replies", "calls"), POINTS)
async def test_a_call_with_effect_once_is_made_at_most_once(cluster, point, replies, calls):
    session = await cluster.open_session("order")
    await cluster.join()  # this engine has yet to read what is stored of the session
    await _assert_made_once(cluster, session, point, replies, calls)


@pytest.mark.parametrize(
    ("point", "replies", "calls"), [each for each in POINTS if each[0][0] != "read_journal"]
)
async def test_so_it_is_by_an_engine_that_remembers_the_session(cluster, point, replies, calls):
    await _assert_made_once(cluster, await cluster.open_session("order"), point, replies, calls)


async def _assert_made_once(cluster, session, point, replies, calls):
    cluster.store.stall(*point[:2], done=point[2])
    await start_and_crash(cluster, session, "3")
    finished = await cluster.send(session, "3", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert reply_texts(finished.turn) == replies
    assert len(cluster.tools.calls) == calls
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown is (replies is UNKNOWN)
    assert [turn.number for turn in await cluster.turns(session)] == [1, 2]
    assert (await cluster.session(session)).revision == 2


async def test_a_call_that_was_running_is_reported_as_outcome_unknown(cluster):
    session = await cluster.open_session("order")
    selling = Hold()
    cluster.tools.add("shop.buy", selling, "once")
    await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    await selling.reached.wait()
    await cluster.crash()
    finished = await cluster.send(session, "3", request_id="r1")
    assert reply_texts(finished.turn) == UNKNOWN
    assert len(cluster.tools.calls) == 1
    events = await cluster.events(session, "3", request_id="r1")
    assert event_kinds(events)[2:5] == ["state_entered", "tool_call_started", "tool_call_finished"]


async def test_an_input_that_was_not_accepted_leaves_no_turn(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("accept_turn", done=False)
    await start_and_crash(cluster, session, "3")
    with pytest.raises(TurnNotFound):
        await cluster.engine.find_turn_number(TENANT, session.id, "r1")
    assert reply_texts((await cluster.send(session, "3", request_id="r1")).turn) == THANKS


@pytest.mark.parametrize("effect", ["none", "repeatable"])
async def test_a_repeatable_call_is_made_again_with_the_same_request_id(cluster, effect):
    session = await cluster.open_session()
    cluster.tools.add("shop.buy", {"ok": True}, effect)
    cluster.gateway.scripts.append([call("shop.buy", "b", n=1)])
    cluster.gateway.scripts.append(["Bought."])
    cluster.store.stall("write_journal", 2, done=False)
    await start_and_crash(cluster, session, "please")
    finished = await cluster.send(session, "please", request_id="r1")
    assert reply_texts(finished.turn) == ["Bought."]
    first, second = cluster.tools.calls
    assert first.request_id == second.request_id
    assert first.arguments == second.arguments
    assert not finished.turn.tool_calls[0].outcome_unknown


@pytest.mark.parametrize(("number", "done"), [(1, True), (2, False), (2, True)])
async def test_a_model_that_called_tools_is_not_called_again(cluster, number, done):
    session = await cluster.open_session()
    cluster.gateway.scripts.append(["Let me see. ", call("clock.now", "a"), call("shop.buy", "b")])
    cluster.gateway.scripts.append(["There you are."])
    cluster.store.stall("write_journal", number, done=done)
    await start_and_crash(cluster, session, "please")
    finished = await cluster.send(session, "please", request_id="r1")
    assert finished.turn.status == TURN_STATUS_DONE
    assert reply_texts(finished.turn) == ["Let me see. ", "There you are."]
    assert len(cluster.gateway.requests) == 2
    assert [each.call.id for each in finished.turn.tool_calls] == ["a", "b"]
    assert cluster.tools.names().count("shop.buy") <= 1


async def test_a_reply_that_was_shown_but_not_committed_is_generated_again(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append(["Half a sen", hold])
    cluster.gateway.scripts.append(["A whole sentence."])
    await cluster.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await cluster.crash()
    events = await cluster.events(session, "hello", request_id="r1")
    assert reply_texts(events[-1].turn_finished.turn) == ["A whole sentence."]
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    shown = (await cluster.store.recent_transcripts(session.id, 10))[-1][-1]
    assert shown.parts[0].text == "A whole sentence."


async def test_every_turn_in_the_inbox_runs_after_a_crash_in_order(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    for n in range(3):
        await cluster.engine.accept(turn_request(session, f"say {n}", request_id=f"r{n}"))
    await hold.reached.wait()
    await cluster.crash()
    last = await cluster.send(session, "say 2", request_id="r2")
    assert last.turn.number == 3
    assert [reply_texts(turn) for turn in await cluster.turns(session)] == [
        ["Echo: say 0"],
        ["Echo: say 1"],
        ["Echo: say 2"],
    ]


async def test_a_subscriber_on_another_engine_sees_the_recovered_turn(cluster):
    """The caller is connected to another process than the one that runs the turn and dies."""
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    dying = cluster.newest
    await dying.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    other = await cluster.join()
    following = asyncio.create_task(other.events(session, "hello", request_id="r1"))
    await cluster.kill(dying)
    assert reply_texts((await following)[-1].turn_finished.turn) == ["Echo: hello"]


async def test_a_turn_of_a_frozen_engine_is_recovered_when_its_lease_expires(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    frozen = cluster.newest
    await frozen.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    await frozen.engine._supervisor.stop()
    other = await cluster.join()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await other.send(session, "hello", request_id="r1")
    cluster.clock.offset = cluster.limits.lease_seconds + 1
    assert reply_texts((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]


async def test_an_engine_that_lost_its_lease_commits_nothing_and_subscribers_get_the_other_result(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold, "slow"])
    cluster.gateway.scripts.append(["quick"])
    slow = cluster.newest
    followed = await slow.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    slow.engine._maintenance.renew_leases = _never  # as if it were frozen: its lease expires
    cluster.owners.dead.add(slow.owners.me)
    quick = await cluster.join()
    finished = await quick.send(session, "hello", request_id="r1")
    assert reply_texts(finished.turn) == ["quick"]
    hold.go_on.set()
    assert (await followed.result()).turn == finished.turn
    assert (await cluster.session(session)).revision == 1


async def _never() -> None:
    return None


async def test_a_turn_that_kills_every_process_fails_after_max_attempts(cluster):
    session = await cluster.open_session()
    for n in range(cluster.limits.max_attempts):
        hold = Hold()
        cluster.gateway.scripts.append([hold])
        if n == 0:
            await cluster.engine.accept(turn_request(session, "deadly", request_id="r1"))
        await hold.reached.wait()
        await cluster.crash()
    finished = await cluster.send(session, "deadly", request_id="r1")
    assert finished.turn.status == TURN_STATUS_FAILED
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    assert reply_texts((await cluster.send(session, "harmless")).turn) == ["Echo: harmless"]


async def test_a_turn_that_was_given_up_still_lists_its_calls(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("commit", done=False)
    await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    for _ in range(cluster.limits.max_attempts - 1):
        await cluster.store.stalled.wait()
        await cluster.crash(("commit", 1, False))
    await cluster.store.stalled.wait()
    await cluster.crash()
    finished = await cluster.send(session, "3", request_id="r1")
    assert finished.turn.error.reason == "TURN_GIVEN_UP"
    (record,) = finished.turn.tool_calls
    assert record.call.name == "shop.buy"
    assert not record.outcome_unknown
    assert len(cluster.tools.calls) == 1


async def test_a_request_to_cancel_survives_the_process_that_runs_the_turn(cluster):
    session = await cluster.open_session("order")
    cluster.store.stall("write_journal", 1, done=True)
    first = await cluster.engine.accept(turn_request(session, "3", request_id="r1"))
    await cluster.store.stalled.wait()
    dying, other = cluster.newest, await cluster.join()
    cancelling = asyncio.create_task(other.engine.cancel(first.ref))
    await cluster.kill(dying)
    finished = await cancelling
    assert finished.turn.status == TURN_STATUS_CANCELLED
    (record,) = finished.turn.tool_calls
    assert record.outcome_unknown
    assert cluster.tools.calls == []


async def test_a_once_call_of_a_cancelled_turn_is_not_made_again_by_the_next_turn(cluster):
    """Its result was journalled and only the commit was missing: the next turn uses it."""
    session = await cluster.open_session("order")
    cluster.flow(ERRAND)
    session = await cluster.open_session("errand")
    wrapping = Hold()
    cluster.tools.add("clock.now", wrapping)
    first = await cluster.engine.accept(turn_request(session, "3"))
    await wrapping.reached.wait()
    await cluster.engine.cancel(first.ref)
    cluster.tools.add("clock.now", {"time": "12:00"})
    assert reply_texts((await cluster.send(session, "3")).turn) == ["Done."]
    assert cluster.tools.names() == ["shop.buy", "clock.now", "clock.now"]


async def test_a_stopped_engine_releases_its_lease_on_an_unfinished_turn(cluster):
    session = await cluster.open_session()
    hold = Hold()
    cluster.gateway.scripts.append([hold])
    await cluster.engine.accept(turn_request(session, "hello", request_id="r1"))
    await hold.reached.wait()
    leaving = cluster.newest
    leaving.engine._limits = type(cluster.limits)(shutdown_grace=0.0)
    await leaving.engine.stop()
    assert [each.owner for each in await cluster.store.pending_sessions()] == [""]
    other = await cluster.join()
    assert reply_texts((await other.send(session, "hello", request_id="r1")).turn) == ["Echo: hello"]
