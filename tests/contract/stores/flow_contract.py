"""The SessionStore contract for deployed flows; part of SessionStoreContract."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_dialogue.core.errors import FlowExists
from clawdbot_dialogue.core.sessions.store import FlowsOutdated
from msgspec.structs import replace

from tests.support.dialogue_records import LEASE_REQUEST, leased_task, new_session, new_turn


class Flows:
    async def test_a_deployed_flow_is_stored_with_its_time(self, store):
        kept = await store.deploy_flow("greet", 1, "source", 5.0)
        assert (kept.name, kept.version, kept.source, kept.deploy_time) == ("greet", 1, "source", 5.0)
        assert await store.deployed_flows(0) == (kept,)

    async def test_the_same_source_again_changes_nothing(self, store):
        kept = await store.deploy_flow("greet", 1, "source", 5.0)
        assert await store.deploy_flow("greet", 1, "source", 9.0) == kept
        assert await store.deployed_flows(0) == (kept,)

    async def test_another_source_in_the_same_version_is_refused(self, store):
        kept = await store.deploy_flow("greet", 1, "source", 5.0)
        with pytest.raises(FlowExists):
            await store.deploy_flow("greet", 1, "other", 6.0)
        assert await store.deployed_flows(0) == (kept,)

    async def test_only_flows_after_a_number_are_returned(self, store):
        first = await store.deploy_flow("greet", 2, "source", 5.0)
        second = await store.deploy_flow("greet", 1, "older", 6.0)
        assert await store.deployed_flows(first.number) == (second,)
        assert await store.deployed_flows(second.number) == ()

    async def test_who_gets_a_lease_learns_of_the_newest_flow(self, store):
        """So that it need not ask before each turn whether another process has deployed one."""
        task = await leased_task(store)
        assert task.newest_flow == 0
        flow = await store.deploy_flow("greet", 1, "source", 5.0)
        (pending,) = await store.pending_sessions()
        acquired = await store.acquire_lease(pending, LEASE_REQUEST)
        assert acquired.newest_flow == flow.number
        assert (await leased_task(store)).newest_flow == flow.number
        opening = new_turn(task.session)
        created = await store.create_session(new_session(opening=opening), LEASE_REQUEST)
        assert created.task.newest_flow == flow.number

    async def test_a_session_is_created_only_by_who_has_loaded_the_newest_flow(self, store):
        """So that nobody need ask before each session whether another process has deployed one."""
        flow = await store.deploy_flow("greet", 1, "source", 5.0)
        outdated = replace(new_session(request_id="r1"), newest_flow=flow.number - 1)
        with pytest.raises(FlowsOutdated):
            await store.create_session(outdated, LEASE_REQUEST)
        created = await store.create_session(replace(outdated, newest_flow=flow.number), LEASE_REQUEST)
        await store.deploy_flow("greet", 2, "source", 6.0)
        again = await store.create_session(outdated, LEASE_REQUEST)
        assert (again.session, again.existed) == (created.session, True)

    async def test_of_two_rivals_for_a_version_one_wins(self, store):
        ends = await asyncio.gather(
            *(store.deploy_flow("greet", 1, f"source {n}", 5.0) for n in range(8)), return_exceptions=True
        )
        (kept,) = await store.deployed_flows(0)
        assert [end for end in ends if not isinstance(end, FlowExists)] == [kept]
