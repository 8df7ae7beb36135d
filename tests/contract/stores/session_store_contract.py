"""The SessionStore contract: each store's test class inherits it and brings a `store` fixture."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_QUARANTINED
from clawdbot.dialogue.v1.turn_pb2 import (
    TURN_STATUS_ACCEPTED,
    TURN_STATUS_CANCELLED,
    TURN_STATUS_DONE,
    TURN_STATUS_FAILED,
    TURN_STATUS_RUNNING,
)
from clawdbot_dialogue.core.errors import (
    InboxFull,
    LeaseLost,
    RequestIdReused,
    SessionBusy,
    SessionEnded,
    SessionNotFound,
    SessionQuarantined,
    TurnNotFound,
)
from clawdbot_dialogue.core.sessions.records import (
    ConcurrencyPolicy,
    JournalEntry,
    LeaseRequest,
    SessionFilter,
    StopMode,
)

from tests.contract.stores.flow_contract import Flows
from tests.contract.stores.lease_contract import Journal, Leases, Timers, Transcripts
from tests.support.dialogue_records import (
    LEASE_REQUEST,
    TENANT,
    commit,
    leased_task,
    message,
    new_session,
    new_turn,
    stored_session,
    turn_result,
)

EVERYTHING = SessionFilter()
OTHER = LeaseRequest("worker-2", 130.0)


class Sessions:
    async def test_a_session_is_read_back_as_it_was_written(self, store):
        new = new_session(user="ann", flow="book")
        created = await store.create_session(new, LEASE_REQUEST)
        assert created.session == new.session
        assert not created.existed
        assert await store.get_session(TENANT, new.session.id) == new.session

    async def test_another_tenants_session_is_not_found(self, store):
        session = await stored_session(store)
        with pytest.raises(SessionNotFound):
            await store.get_session("other", session.id)
        with pytest.raises(SessionNotFound):
            await store.delete_session("other", session.id, "", 100.0)
        with pytest.raises(SessionNotFound):
            await store.accept_turn(new_turn(session, tenant="other"), LEASE_REQUEST, 100.0)
        with pytest.raises(SessionNotFound):
            await store.list_turns("other", session.id, 10, None)
        with pytest.raises(SessionNotFound):
            await store.find_turn("other", session.id, number=1)
        assert (await store.list_sessions("other", EVERYTHING, 10, None)).items == ()

    async def test_a_repeated_request_id_returns_the_first_session(self, store):
        first = await stored_session(store, request_id="r1")
        again = await store.create_session(new_session(request_id="r1"), LEASE_REQUEST)
        assert again.existed
        assert again.session == first
        assert len((await store.list_sessions(TENANT, EVERYTHING, 10, None)).items) == 1

    async def test_a_request_id_with_another_body_is_refused(self, store):
        await stored_session(store, request_id="r1")
        with pytest.raises(RequestIdReused):
            await store.create_session(new_session(request_id="r1", digest=b"other"), LEASE_REQUEST)

    async def test_tenants_do_not_share_request_ids(self, store):
        first = await stored_session(store, request_id="r1")
        second = await stored_session(store, request_id="r1", tenant="other", digest=b"other")
        assert first.id != second.id

    async def test_sessions_are_listed_newest_first_page_by_page_without_gaps(self, store):
        made = [(await stored_session(store)).id for _ in range(5)]
        seen, before = [], None
        while True:
            page = await store.list_sessions(TENANT, EVERYTHING, 2, before)
            seen += [session.id for session in page.items]
            assert len(page.items) <= 2
            if page.next is None:
                break
            before = page.next
            await stored_session(store)  # a new session does not shift the pages
        assert seen == made[::-1]

    async def test_a_list_is_filtered_by_user_flow_and_status(self, store):
        ann = await stored_session(store, user="ann", flow="book")
        bob = await stored_session(store, user="bob", flow="chat")
        over = await stored_session(store, user="bob", flow="book", status=SESSION_STATUS_ENDED)

        async def ids(**wanted):
            page = await store.list_sessions(TENANT, SessionFilter(**wanted), 10, None)
            return [session.id for session in page.items]

        assert await ids(user="bob") == [over.id, bob.id]
        assert await ids(flow="book") == [over.id, ann.id]
        assert await ids(flow="book", user="ann") == [ann.id]
        assert await ids(status=SESSION_STATUS_ENDED) == [over.id]

    async def test_deleting_removes_everything_and_counts_it(self, store):
        task = await leased_task(store)
        session_id = task.lease.session_id
        await store.write_journal(task.lease, [JournalEntry(1, "c1")])
        ending = commit(task, set_timers={"t1": 50.0}, clear_journal=())
        ending.result.turn.tool_calls.add().call.name = "clock.now"
        await store.commit(ending)
        counts = await store.delete_session(TENANT, session_id, "", 100.0)
        assert (counts.turns, counts.tool_calls) == (1, 1)
        with pytest.raises(SessionNotFound):
            await store.get_session(TENANT, session_id)
        assert await store.due_timers(1000.0, 10) == ((), None)
        assert await store.read_journal(session_id) == ()
        assert await store.recent_transcripts(session_id, 10) == ()
        with pytest.raises(SessionNotFound):
            await store.delete_session(TENANT, session_id, "", 100.0)

    async def test_it_tells_which_sessions_exist(self, store):
        one, other, deleted = [await stored_session(store) for _ in range(3)]
        await store.delete_session(TENANT, deleted.id, "", 100.0)
        asked = {one.id, other.id, deleted.id, "never", "\0'\"ü"}
        assert await store.existing_sessions(asked) == {one.id, other.id}
        assert await store.existing_sessions(set()) == set()

    async def test_a_repeated_deletion_returns_the_first_counts_for_a_day(self, store):
        task = await leased_task(store)
        await store.commit(commit(task))
        first = await store.delete_session(TENANT, task.lease.session_id, "d1", 100.0)
        assert first.turns == 1
        assert await store.delete_session(TENANT, task.lease.session_id, "d1", 200.0) == first
        with pytest.raises(SessionNotFound):
            await store.delete_session(TENANT, task.lease.session_id, "d2", 200.0)
        with pytest.raises(SessionNotFound):
            await store.delete_session(TENANT, task.lease.session_id, "d1", 100.0 + 86_401)

    async def test_a_deleted_sessions_request_id_is_free_again(self, store):
        first = await stored_session(store, request_id="r1")
        await store.delete_session(TENANT, first.id, "", 100.0)
        assert (await stored_session(store, request_id="r1")).id != first.id

    async def test_a_finished_opening_is_the_first_turn(self, store):
        new = new_session()
        turn = new_turn(new.session).turn
        turn.number = 1
        opening = turn_result(turn, new.session, reply="Welcome")
        created = await store.create_session(
            new_session(opening=opening, session_id=new.session.id), LEASE_REQUEST
        )
        assert created.task is None
        page = await store.list_turns(TENANT, created.session.id, 10, None)
        assert [each.replies[0].parts[0].text for each in page.items] == ["Welcome"]
        accepted = await store.accept_turn(new_turn(created.session), LEASE_REQUEST, 100.0)
        assert accepted.number == 2

    async def test_an_opening_that_is_still_to_run_is_leased_at_once(self, store):
        new = new_session()
        pending = new_session(opening=new_turn(new.session, "start"), session_id=new.session.id)
        created = await store.create_session(pending, LEASE_REQUEST)
        assert created.task is not None
        assert created.task.inbox_turn.turn.number == 1
        assert await store.commit(commit(created.task)) is None

    async def test_a_quarantined_session_takes_no_turns_and_fails_those_that_wait(self, store):
        task = await leased_task(store)
        waiting = await store.accept_turn(
            new_turn(task.session, "more", request_id="r2"), LEASE_REQUEST, 100.0
        )
        await store.quarantine(task.lease.session_id, "unreadable", 100.0)
        shown = await store.get_session(TENANT, task.lease.session_id)
        assert shown.status == SESSION_STATUS_QUARANTINED
        with pytest.raises(SessionQuarantined):
            await store.accept_turn(new_turn(task.session), LEASE_REQUEST, 100.0)
        with pytest.raises(LeaseLost):
            await store.commit(commit(task))
        turns = (await store.list_turns(TENANT, task.lease.session_id, 10, None)).items
        assert [turn.status for turn in turns] == [TURN_STATUS_FAILED] * 2
        assert turns[waiting.number - 1].error.reason == "SESSION_QUARANTINED"
        assert await store.pending_sessions() == ()
        listed = await store.list_sessions(TENANT, SessionFilter(status=SESSION_STATUS_QUARANTINED), 10, None)
        assert [session.id for session in listed.items] == [shown.id]


class Inbox:
    async def test_a_free_session_is_leased_with_its_turn(self, store):
        session = await stored_session(store)
        accepted = await store.accept_turn(new_turn(session, "hello", request_id="r1"), LEASE_REQUEST, 100.0)
        assert accepted.number == 1
        assert not accepted.joined
        assert accepted.task.session == session
        assert accepted.task.snapshot == '{"state": "start"}'
        turn = accepted.task.inbox_turn.turn
        assert (turn.id, turn.session_id, turn.number) == (f"{session.id}-1", session.id, 1)
        assert turn.input == message("hello")
        assert accepted.task.inbox_turn.attempts == 1
        found = await store.find_turn(TENANT, session.id, request_id="r1")
        assert found.turn.status == TURN_STATUS_RUNNING
        assert found.running
        assert found.result is None

    async def test_a_second_turn_waits_for_the_first(self, store):
        task = await leased_task(store)
        second = await store.accept_turn(new_turn(task.session, "more"), OTHER, 100.0)
        assert (second.number, second.task) == (2, None)
        assert second.inbox.turn.status == TURN_STATUS_ACCEPTED
        third = await store.accept_turn(
            new_turn(task.session, cancel_on_disconnect=True), LEASE_REQUEST, 100.0
        )
        assert third.inbox.cancel_on_disconnect
        assert not second.inbox.cancel_on_disconnect
        following = await store.commit(commit(task))
        assert following.turn.number == 2
        assert following.attempts == 1
        assert following.turn.input == message("more")

    async def test_the_same_request_id_joins_the_turn_while_it_is_unfinished(self, store):
        task = await leased_task(store, request_id="r1")
        again = await store.accept_turn(new_turn(task.session, request_id="r1"), OTHER, 100.0)
        assert again.joined
        assert (again.number, again.task, again.result) == (1, None, None)
        assert again.inbox.turn.id == task.inbox_turn.turn.id

    async def test_the_same_request_id_returns_the_finished_turn_with_its_events(self, store):
        task = await leased_task(store, request_id="r1")
        ending = commit(task)
        await store.commit(ending)
        again = await store.accept_turn(new_turn(task.session, request_id="r1"), OTHER, 100.0)
        assert again.joined
        assert again.task is None
        assert again.result.turn == ending.result.turn
        assert again.result.session == ending.result.session
        assert again.result.events == ending.result.events

    async def test_a_retry_is_answered_even_when_the_session_has_ended(self, store):
        task = await leased_task(store, request_id="r1")
        await store.commit(commit(task, session_status=SESSION_STATUS_ENDED))
        again = await store.accept_turn(new_turn(task.session, request_id="r1"), LEASE_REQUEST, 100.0)
        assert again.result.turn.number == 1
        with pytest.raises(SessionEnded):
            await store.accept_turn(new_turn(task.session, request_id="r2"), LEASE_REQUEST, 100.0)

    async def test_the_same_request_id_with_another_input_is_refused(self, store):
        task = await leased_task(store, request_id="r1")
        with pytest.raises(RequestIdReused):
            await store.accept_turn(new_turn(task.session, "other", request_id="r1"), LEASE_REQUEST, 100.0)

    async def test_turns_without_a_request_id_are_never_the_same(self, store):
        task = await leased_task(store)
        second = await store.accept_turn(new_turn(task.session), LEASE_REQUEST, 100.0)
        assert second.number == 2

    async def test_the_inbox_is_bounded(self, store):
        task = await leased_task(store)
        await store.accept_turn(new_turn(task.session, limit=2), LEASE_REQUEST, 100.0)
        with pytest.raises(InboxFull) as caught:
            await store.accept_turn(new_turn(task.session, limit=2), LEASE_REQUEST, 100.0)
        assert caught.value.limit == 2
        await store.commit(commit(task))
        assert (await store.accept_turn(new_turn(task.session, limit=2), LEASE_REQUEST, 100.0)).number == 3

    async def test_reject_refuses_while_a_turn_is_unfinished(self, store):
        task = await leased_task(store)
        rejecting = new_turn(task.session, concurrency=ConcurrencyPolicy.REJECT)
        with pytest.raises(SessionBusy):
            await store.accept_turn(rejecting, LEASE_REQUEST, 100.0)
        await store.commit(commit(task))
        assert (await store.accept_turn(rejecting, LEASE_REQUEST, 100.0)).task is not None

    @pytest.mark.parametrize(
        ("concurrency", "stop"),
        [(ConcurrencyPolicy.INTERRUPT, StopMode.CANCEL), (ConcurrencyPolicy.ROLLBACK, StopMode.ROLLBACK)],
    )
    async def test_interrupt_and_rollback_ask_the_first_turn_to_stop(self, store, concurrency, stop):
        task = await leased_task(store)
        accepted = await store.accept_turn(new_turn(task.session, concurrency=concurrency), OTHER, 100.0)
        assert accepted.stopped_turn == 1
        assert await store.stop_requests() == ((task.lease.session_id, 1, stop),)
        await store.commit(commit(task))
        assert await store.stop_requests() == ()

    async def test_a_weaker_stop_request_does_not_replace_a_rollback(self, store):
        task = await leased_task(store)
        await store.request_stop(task.lease.session_id, 1, StopMode.ROLLBACK)
        await store.request_stop(task.lease.session_id, 1, StopMode.CANCEL)
        assert await store.stop_requests() == ((task.lease.session_id, 1, StopMode.ROLLBACK),)

    async def test_asking_a_finished_turn_to_stop_does_nothing(self, store):
        task = await leased_task(store)
        await store.commit(commit(task))
        await store.request_stop(task.lease.session_id, 1, StopMode.CANCEL)
        await store.request_stop("missing", 1, StopMode.CANCEL)
        assert await store.stop_requests() == ()

    async def test_a_waiting_turn_is_finished_without_being_started(self, store):
        task = await leased_task(store)
        await store.accept_turn(new_turn(task.session, "second"), LEASE_REQUEST, 100.0)
        third = await store.accept_turn(new_turn(task.session, "third"), LEASE_REQUEST, 100.0)
        second = await store.find_turn(TENANT, task.lease.session_id, number=2)
        ended = turn_result(second.turn, task.session, status=TURN_STATUS_CANCELLED, revision=0, messages=())
        assert await store.finish_waiting(ended)
        assert not await store.finish_waiting(ended)
        following = await store.commit(commit(task))
        assert following.turn.number == third.number
        found = await store.find_turn(TENANT, task.lease.session_id, number=2)
        assert found.turn.status == TURN_STATUS_CANCELLED

    async def test_a_running_turn_is_not_finished_as_waiting(self, store):
        task = await leased_task(store)
        ended = turn_result(task.inbox_turn.turn, task.session, status=TURN_STATUS_CANCELLED)
        assert not await store.finish_waiting(ended)

    async def test_turns_are_listed_in_order_page_by_page(self, store):
        task = await leased_task(store, "one")
        for text in ("two", "three"):
            await store.accept_turn(new_turn(task.session, text), LEASE_REQUEST, 100.0)
        await store.commit(commit(task))
        first = await store.list_turns(TENANT, task.lease.session_id, 2, None)
        assert [turn.number for turn in first.items] == [1, 2]
        assert [turn.status for turn in first.items] == [TURN_STATUS_DONE, TURN_STATUS_RUNNING]
        rest = await store.list_turns(TENANT, task.lease.session_id, 2, first.next)
        assert [(turn.number, turn.status) for turn in rest.items] == [(3, TURN_STATUS_ACCEPTED)]
        assert rest.next is None

    async def test_turns_are_listed_newest_first_page_by_page(self, store):
        task = await leased_task(store, "one")
        other = await leased_task(store, "of another session")
        for text in ("two", "three", "four"):
            await store.accept_turn(new_turn(task.session, text), LEASE_REQUEST, 100.0)
        await store.accept_turn(new_turn(other.session, "another"), LEASE_REQUEST, 100.0)
        first = await store.list_turns(TENANT, task.lease.session_id, 3, None, newest_first=True)
        assert [turn.number for turn in first.items] == [4, 3, 2]
        await store.accept_turn(new_turn(task.session, "five"), LEASE_REQUEST, 100.0)
        rest = await store.list_turns(TENANT, task.lease.session_id, 3, first.next, newest_first=True)
        assert [turn.number for turn in rest.items] == [1]
        assert rest.items[0].input.parts[0].text == "one"
        assert rest.next is None

    async def test_a_missing_turn_is_not_found(self, store):
        task = await leased_task(store, request_id="r1")
        for wanted in ({"number": 2}, {"number": 0}, {"request_id": "r2"}):
            with pytest.raises(TurnNotFound):
                await store.find_turn(TENANT, task.lease.session_id, **wanted)

    async def test_many_at_once_get_numbers_without_gaps_and_one_of_them_the_lease(self, store):
        session = await stored_session(store)
        accepted = await asyncio.gather(
            *(store.accept_turn(new_turn(session, f"turn {n}"), LEASE_REQUEST, 100.0) for n in range(50))
        )
        assert sorted(each.number for each in accepted) == list(range(1, 51))
        assert [each.number for each in accepted if each.task] == [1]


class SessionStoreContract(Sessions, Inbox, Leases, Journal, Transcripts, Timers, Flows):
    """The whole contract. Derive `Test…` classes from this one."""
