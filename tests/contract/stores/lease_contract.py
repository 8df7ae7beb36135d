"""The SessionStore contract for leases, commits, journals, transcripts and timers."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.turn_pb2 import (
    TURN_STATUS_ACCEPTED,
    TURN_STATUS_DONE,
)
from clawdbot_dialogue.core.errors import (
    LeaseLost,
    SessionNotFound,
    TurnNotFound,
)
from clawdbot_dialogue.core.sessions.records import (
    DueTimer,
    JournalEntry,
    Lease,
    LeaseRequest,
    PendingSession,
    StopMode,
)
from msgspec.structs import replace

from tests.support.dialogue_records import (
    LEASE_REQUEST,
    TENANT,
    commit,
    leased_task,
    message,
    new_turn,
    stored_session,
)

OTHER = LeaseRequest("worker-2", 130.0)


class Leases:
    async def test_a_commit_changes_session_turn_and_transcript_together(self, store):
        task = await leased_task(store, "hello")
        ending = commit(task)
        assert await store.commit(ending) is None
        session = await store.get_session(TENANT, task.lease.session_id)
        assert session == ending.result.session
        assert session.revision == 1
        found = await store.find_turn(TENANT, session.id, number=1)
        assert found.result.turn == ending.result.turn
        assert found.turn.status == TURN_STATUS_DONE
        assert not found.running
        assert await store.recent_transcripts(session.id, 10) == (ending.result.transcript,)
        accepted = await store.accept_turn(new_turn(session), LEASE_REQUEST, 100.0)
        assert accepted.task.snapshot == '{"state": "later"}'
        assert accepted.task.session == session

    async def test_a_turns_explanation_is_stored_with_it_and_deleted_with_its_session(self, store):
        task = await leased_task(store)
        session_id = task.lease.session_id
        with pytest.raises(TurnNotFound):
            await store.get_explanation(TENANT, session_id, 1)
        ending = commit(task)
        await store.commit(replace(ending, result=replace(ending.result, explanation=b"because")))
        assert await store.get_explanation(TENANT, session_id, 1) == b"because"
        with pytest.raises(SessionNotFound):
            await store.get_explanation("another", session_id, 1)
        with pytest.raises(TurnNotFound):
            await store.get_explanation(TENANT, session_id, 2)
        await store.delete_session(TENANT, session_id, "", 100.0)
        with pytest.raises(SessionNotFound):
            await store.get_explanation(TENANT, session_id, 1)

    async def test_a_commit_without_a_snapshot_keeps_the_old_one(self, store):
        task = await leased_task(store)
        await store.commit(commit(task, snapshot=None))
        accepted = await store.accept_turn(new_turn(task.session), LEASE_REQUEST, 100.0)
        assert accepted.task.snapshot == '{"state": "start"}'

    async def test_a_process_that_lost_its_lease_commits_nothing(self, store):
        """Its lease expires, another process acquires one, and the first comes back late."""
        first = await leased_task(store)
        pending = (await store.pending_sessions())[0]
        assert pending == PendingSession(
            first.lease.session_id, first.lease.token, LEASE_REQUEST.owner, LEASE_REQUEST.expires
        )
        second = await store.acquire_lease(pending, OTHER)
        assert second.inbox_turn.turn == first.inbox_turn.turn
        assert second.inbox_turn.attempts == 2
        assert second.lease.token > first.lease.token
        with pytest.raises(LeaseLost):
            await store.commit(commit(first, reply="slow", set_timers={"t": 1.0}))
        with pytest.raises(LeaseLost):
            await store.write_journal(first.lease, [JournalEntry(1, "c1")])
        assert await store.due_timers(1000.0, 10) == ((), None)
        await store.commit(commit(second, reply="quick"))
        with pytest.raises(LeaseLost):
            await store.commit(commit(first, reply="slow"))
        found = await store.find_turn(TENANT, first.lease.session_id, number=1)
        assert found.turn.replies[0].parts[0].text == "quick"

    async def test_a_commit_on_another_revision_is_refused(self, store):
        task = await leased_task(store)
        with pytest.raises(LeaseLost):
            await store.commit(commit(task, revision=7))
        assert (await store.get_session(TENANT, task.lease.session_id)).revision == 0

    async def test_a_commit_to_a_deleted_session_is_refused(self, store):
        task = await leased_task(store)
        await store.delete_session(TENANT, task.lease.session_id, "", 100.0)
        with pytest.raises(LeaseLost):
            await store.commit(commit(task))

    async def test_of_several_that_acquire_a_lease_one_wins(self, store):
        await leased_task(store)
        pending = (await store.pending_sessions())[0]
        won = await asyncio.gather(
            *(store.acquire_lease(pending, LeaseRequest(f"w{n}", 200.0)) for n in range(5))
        )
        assert len([task for task in won if task]) == 1

    async def test_an_expired_lease_goes_to_the_next_input_with_the_earliest_turn(self, store):
        task = await leased_task(store, "first")
        accepted = await store.accept_turn(new_turn(task.session, "second"), OTHER, now=131.0)
        assert accepted.number == 2
        assert accepted.task.inbox_turn.turn.number == 1
        assert accepted.task.inbox_turn.attempts == 2
        with pytest.raises(LeaseLost):
            await store.commit(commit(task))
        following = await store.commit(commit(accepted.task))
        assert following.turn.number == 2

    async def test_an_expired_lease_is_not_granted_to_its_owner_again(self, store):
        """It is running the turn; the clock was set forward."""
        task = await leased_task(store, "first")
        accepted = await store.accept_turn(new_turn(task.session, "second"), LEASE_REQUEST, now=10_000.0)
        assert (accepted.number, accepted.task) == (2, None)
        assert (await store.commit(commit(task))).turn.number == 2

    async def test_an_expired_lease_that_nobody_acquired_still_commits(self, store):
        task = await leased_task(store)
        assert await store.commit(commit(task)) is None

    async def test_renewing_extends_leases_and_returns_the_lost_ones(self, store):
        kept = await leased_task(store)
        gone = await leased_task(store)
        pending = [
            each for each in await store.pending_sessions() if each.session_id == gone.lease.session_id
        ]
        await store.acquire_lease(pending[0], OTHER)
        assert await store.renew_leases([kept.lease, gone.lease, Lease("missing", 1)], 500.0) == (
            gone.lease,
            Lease("missing", 1),
        )
        second = await store.accept_turn(new_turn(kept.session), OTHER, now=400.0)
        assert second.task is None

    async def test_a_released_session_is_free_and_keeps_its_turn(self, store):
        task = await leased_task(store)
        await store.release_leases([task.lease, Lease("missing", 1)])
        found = await store.find_turn(TENANT, task.lease.session_id, number=1)
        assert found.turn.status == TURN_STATUS_ACCEPTED
        pending = (await store.pending_sessions())[0]
        assert pending.owner == ""
        taken = await store.acquire_lease(pending, OTHER)
        assert taken.inbox_turn.turn.number == 1

    async def test_a_session_without_unfinished_turns_is_not_pending(self, store):
        task = await leased_task(store)
        await store.commit(commit(task))
        assert await store.pending_sessions() == ()
        stale = PendingSession(task.lease.session_id, task.lease.token, "", 0.0)
        assert await store.acquire_lease(stale, LEASE_REQUEST) is None

    async def test_a_stop_request_reaches_the_next_lease_owner(self, store):
        task = await leased_task(store)
        await store.request_stop(task.lease.session_id, 1, StopMode.CANCEL)
        taken = await store.acquire_lease((await store.pending_sessions())[0], OTHER)
        assert taken.inbox_turn.stop_mode is StopMode.CANCEL

    async def test_the_disconnect_policy_is_stored(self, store):
        task = await leased_task(store, cancel_on_disconnect=True)
        assert task.inbox_turn.cancel_on_disconnect
        taken = await store.acquire_lease((await store.pending_sessions())[0], OTHER)
        assert taken.inbox_turn.cancel_on_disconnect


class Journal:
    async def test_an_entry_is_stored_until_a_commit_clears_it(self, store):
        task = await leased_task(store)
        intent = JournalEntry(1, "c1", b"digest", once=True, record=b"call")
        other = JournalEntry(1, "c2", b"other", once=False, record=b"", done=True)
        await store.write_journal(task.lease, [intent, other])
        assert set(await store.read_journal(task.lease.session_id)) == {intent, other}
        done = JournalEntry(1, "c1", b"digest", once=True, record=b"result", done=True)
        await store.write_journal(task.lease, [done])
        assert set(await store.read_journal(task.lease.session_id)) == {done, other}
        await store.commit(commit(task, clear_journal=["c2"]))
        assert await store.read_journal(task.lease.session_id) == (done,)

    async def test_clearing_all_keeps_other_turns_entries(self, store):
        task = await leased_task(store)
        await store.accept_turn(new_turn(task.session, "second"), LEASE_REQUEST, 100.0)
        await store.write_journal(task.lease, [JournalEntry(1, "c1", once=True)])
        following = await store.commit(commit(task, clear_journal=()))
        await store.write_journal(task.lease, [JournalEntry(2, "c1"), JournalEntry(2, "c2")])
        assert [(e.number, e.key) for e in await store.read_journal(task.lease.session_id)] == [
            (1, "c1"),
            (2, "c1"),
            (2, "c2"),
        ]
        await store.commit(commit(task, following, clear_journal="all", revision=1))
        assert [(e.number, e.key) for e in await store.read_journal(task.lease.session_id)] == [(1, "c1")]

    async def test_sessions_do_not_share_a_journal(self, store):
        one, two = await leased_task(store), await leased_task(store)
        await store.write_journal(one.lease, [JournalEntry(1, "c1")])
        assert await store.read_journal(two.lease.session_id) == ()
        assert await store.read_journal("missing") == ()


class Transcripts:
    async def test_the_window_holds_whole_turns_and_at_least_one(self, store):
        task = await leased_task(store)
        said = [message(text) for text in ("a", "b", "c", "d", "e", "f")]
        for pair in (said[:2], said[2:4], []):
            ending = commit(task, messages=pair)
            await store.commit(ending)
            session = ending.result.session
            task = (await store.accept_turn(new_turn(session), LEASE_REQUEST, 100.0)).task
        await store.commit(commit(task, messages=said[4:]))
        session_id = task.lease.session_id

        async def window(limit):
            turns = await store.recent_transcripts(session_id, limit)
            return ["".join(m.parts[0].text for m in messages) for messages in turns]

        assert await window(10) == ["ab", "cd", "ef"]
        assert await window(5) == ["cd", "ef"]
        assert await window(4) == ["cd", "ef"]
        assert await window(2) == ["ef"]
        assert await window(1) == ["ef"]


class Timers:
    def due(self, task, timer="t1", when=50.0):
        return DueTimer(task.lease.session_id, TENANT, timer, when)

    async def test_a_timer_is_due_at_its_time(self, store):
        task = await leased_task(store)
        await store.commit(commit(task, set_timers={"t1": 50.0, "t2": 60.0}))
        assert await store.due_timers(49.0, 10) == ((), 50.0)
        assert await store.due_timers(50.0, 10) == ((self.due(task),), 60.0)
        assert await store.due_timers(70.0, 1) == ((self.due(task),), 60.0)
        assert (await store.due_timers(70.0, 10))[1] is None

    async def test_a_timer_fires_once(self, store):
        task = await leased_task(store)
        await store.commit(commit(task, set_timers={"t1": 50.0}))
        new = new_turn(task.session, "timer")
        fired = await asyncio.gather(
            *(store.fire_timer(self.due(task), new, LEASE_REQUEST, 100.0) for _ in range(3))
        )
        accepted = [each for each in fired if each]
        assert [each.number for each in accepted] == [2]
        assert accepted[0].task.inbox_turn.turn.number == 2
        assert await store.due_timers(1000.0, 10) == ((), None)

    async def test_a_restarted_timer_does_not_fire_at_the_old_time(self, store):
        task = await leased_task(store)
        ending = commit(task, set_timers={"t1": 50.0})
        await store.commit(ending)
        again = (await store.accept_turn(new_turn(ending.result.session), LEASE_REQUEST, 100.0)).task
        await store.commit(commit(again, clear_timers=["t1"], set_timers={"t1": 500.0}))
        assert await store.fire_timer(self.due(task), new_turn(task.session), LEASE_REQUEST, 100.0) is None
        assert (await store.due_timers(100.0, 10))[1] == 500.0

    async def test_timers_are_cleared_by_name_or_all(self, store):
        task = await leased_task(store)
        ending = commit(task, set_timers={"t1": 50.0, "t2": 60.0, "t3": 70.0})
        await store.commit(ending)
        again = (await store.accept_turn(new_turn(ending.result.session), LEASE_REQUEST, 100.0)).task
        ending = commit(again, clear_timers=["t1"])
        await store.commit(ending)
        assert [timer.timer_id for timer in (await store.due_timers(100.0, 10))[0]] == ["t2", "t3"]
        again = (await store.accept_turn(new_turn(ending.result.session), LEASE_REQUEST, 100.0)).task
        await store.commit(commit(again, clear_timers="all"))
        assert await store.due_timers(100.0, 10) == ((), None)

    async def test_a_session_can_be_created_with_a_timer(self, store):
        session = await stored_session(store, timers={"t1": 50.0})
        due, _ = await store.due_timers(50.0, 10)
        assert due == (DueTimer(session.id, TENANT, "t1", 50.0),)
