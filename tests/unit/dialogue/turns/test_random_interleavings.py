"""Random inputs, cancels and crashes on several engines: each turn ends once, and all in one order."""

from __future__ import annotations

import asyncio
import random

import pytest
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE, TURN_STATUS_FAILED
from clawdbot_dialogue.core.errors import DialogueError
from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy
from clawdbot_dialogue.core.turns.subscription import TurnRef
from clawdbot_servicekit.errors import ShuttingDown

from tests.support.conditions import until
from tests.support.engine_cluster import TENANT, event_kinds
from tests.support.scripted_peers import call

STEPS = 25
BOUGHT = "bought"


async def slowly(number: float) -> dict[str, object]:
    """A tool that takes some time."""
    await asyncio.sleep(number)
    return {"ok": True}


class RandomCallers:
    """Random callers of one session."""

    def __init__(self, cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.callers: list[asyncio.Task[object]] = []
        self.names: list[str] = []

    async def send(self, session) -> None:
        name = f"r{len(self.names)}"
        self.names.append(name)
        node = self.chance.choice(self.cluster._nodes[-2:])
        if self.chance.random() < 0.5:
            script = ["Let me see. ", call("shop.buy", f"b-{name}", n=name)]
            self.cluster.gateway.scripts.append(script)
        options = {
            "request_id": name,
            "concurrency": self.chance.choice(list(ConcurrencyPolicy)),
            "cancel_on_disconnect": self.chance.random() < 0.2,
        }
        self.callers.append(asyncio.create_task(node.send(session, f"say {name}", **options)))

    async def cancel(self, session) -> None:
        number = self.chance.randint(1, max(1, len(self.names)))
        node = self.chance.choice(self.cluster._nodes[-2:])
        self.callers.append(asyncio.create_task(node.engine.cancel(TurnRef(TENANT, session.id, number))))

    async def leave(self, _) -> None:
        if self.callers:
            self.chance.choice(self.callers).cancel()

    async def crash(self, _) -> None:
        """The older of the two engines dies, and another one joins."""
        dying = self.cluster._nodes[-2]
        if dying.owners.me not in self.cluster.owners.dead:
            await self.cluster.kill(dying)
        await self.cluster.join()


@pytest.mark.parametrize("seed", range(12))
async def test_every_turn_ends_once_and_in_order(cluster, seed):
    chance = random.Random(seed)
    cluster.tools.add("shop.buy", lambda _: slowly(chance.random() / 200), "once")
    await cluster.join()
    session = await cluster.open_session()
    callers = RandomCallers(cluster, seed)
    for _ in range(STEPS):
        step = callers.chance.choices(
            [callers.send, callers.cancel, callers.leave, callers.crash], [8, 2, 2, 1]
        )[0]
        await step(session)
        await asyncio.sleep(callers.chance.choice([0, 0, 0.002, 0.005]))
    ends = await asyncio.gather(*callers.callers, return_exceptions=True)
    unexpected = [
        each
        for each in ends
        if isinstance(each, BaseException)
        and not isinstance(each, DialogueError | ShuttingDown | asyncio.CancelledError)
    ]
    assert unexpected == []

    async def all_turns_ended():
        return not await cluster.store.pending_sessions()

    await until(all_turns_ended)
    turns = await cluster.turns(session)
    assert [turn.number for turn in turns] == list(range(1, len(turns) + 1))
    assert {turn.status for turn in turns} <= {TURN_STATUS_DONE, TURN_STATUS_CANCELLED, TURN_STATUS_FAILED}
    assert len({turn.request_id for turn in turns}) == len(turns)
    made = [request.arguments["n"] for request in cluster.tools.calls]
    assert len(set(made)) == len(made), "a purchase was made twice"
    for turn in turns:
        finished = (await cluster.store.find_turn(TENANT, session.id, number=turn.number)).result
        kinds = event_kinds(finished.events)
        assert kinds.count("tool_call_started") == kinds.count("tool_call_finished") == len(turn.tool_calls)
        assert all(record.HasField("result") for record in turn.tool_calls)
    retried = [turn for turn in turns if turn.status == TURN_STATUS_DONE]
    for turn in retried:
        again = await cluster.send(session, f"say {turn.request_id}", request_id=turn.request_id)
        assert again.turn == turn
