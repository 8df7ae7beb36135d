"""Real processes, really killed: conversations are there afterwards, and nothing was done twice.

The peers are scripted, in this process: a tool or a model that holds still is where the service dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import grpc.aio
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, TURN_STATUS_DONE

from tests.support.dialogue_service import scripted_peers
from tests.support.engine_cluster import reply_texts
from tests.support.ports import free_port
from tests.support.processes import process
from tests.support.scripted_peers import Hold
from tests.unit.dialogue.turns.conftest import ORDER

pytestmark = pytest.mark.integration

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
"""Each channel may so reach another worker."""
PATIENCE = 30.0


class Service:
    """The service's settings, and its peers."""

    def __init__(self, folder: Path, peers, address: str) -> None:
        self.peers = peers
        self._folder = folder
        self._port = free_port()
        (folder / "order.yaml").write_text(ORDER)
        self._environment = {
            "CLAWDBOT_PEERS__PLUGINS": address,
            "CLAWDBOT_PEERS__MODEL_GATEWAY": address,
            "CLAWDBOT_FLOWS": str(folder / "order.yaml"),
        }

    def run(self, workers: int = 1):
        """The process, on the same port and the same sessions each time."""
        environment = {**self._environment, "CLAWDBOT_SERVER__WORKERS": str(workers)}
        state = self._folder / "state"
        return process("clawdbot_dialogue", state=state, environment=environment, port=self._port)

    def connect(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", OWN_CONNECTION)


@pytest.fixture
async def service(tmp_path):
    async with scripted_peers() as (peers, address):
        peers.tools.add("shop.buy", {"ok": True}, "once")
        yield Service(tmp_path, peers, address)


async def opened(channel, flow="chat"):
    request = pb.CreateSessionRequest(flow=flow)
    return (await DialogueServiceStub(channel).CreateSession(request, timeout=PATIENCE)).session


async def send(channel, session, text, request_id=""):
    request = pb.SendTurnRequest(session_id=session.id, text=text, request_id=request_id)
    return await DialogueServiceStub(channel).SendTurn(request, timeout=PATIENCE, wait_for_ready=True)


async def test_a_purchase_under_way_when_the_process_is_killed_is_not_made_again(service):
    selling = Hold()
    service.peers.tools.add("shop.buy", selling, "once")
    async with service.run() as running, service.connect() as channel:
        session = await opened(channel, "order")
        lost = asyncio.create_task(send(channel, session, "3", "r1"))
        await selling.reached.wait()
        await running.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await lost
    async with service.run(), service.connect() as channel:
        answer = await send(channel, session, "3", "r1")
        listed = await DialogueServiceStub(channel).ListTurns(pb.ListTurnsRequest(session_id=session.id))
    assert reply_texts(answer.turn)[0] == "I do not know whether that was bought."
    (record,) = answer.turn.tool_calls
    assert record.outcome_unknown
    assert len(service.peers.tools.calls) == 1
    assert [turn.number for turn in listed.turns] == [1, 2]


async def test_a_reply_under_way_when_the_process_is_killed_is_written_anew(service):
    hold = Hold()
    service.peers.gateway.scripts.append(["Half a sen", hold])
    service.peers.gateway.scripts.append(["A whole sentence."])
    async with service.run() as running, service.connect() as channel:
        session = await opened(channel)
        stream = DialogueServiceStub(channel).StreamTurn(
            pb.StreamTurnRequest(session_id=session.id, text="hello", request_id="r1"), timeout=PATIENCE
        )
        await hold.reached.wait()
        await running.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in stream:
                pass
    async with service.run(), service.connect() as channel:
        answer = await send(channel, session, "hello", "r1")
        after = await send(channel, session, "and now?")
    assert reply_texts(answer.turn) == ["A whole sentence."]
    assert (answer.turn.status, after.turn.number) == (TURN_STATUS_DONE, answer.turn.number + 1)
    shown = [message.parts[0].text for message in service.peers.gateway.requests[-1].messages]
    assert shown.count("A whole sentence.") == 1
    assert "Half a sen" not in shown


async def test_turns_are_taken_up_after_a_restart_without_anybody_asking(service):
    hold = Hold()
    service.peers.gateway.scripts.append([hold])
    async with service.run() as running, service.connect() as channel:
        session = await opened(channel)
        lost = [asyncio.create_task(send(channel, session, f"say {n}", f"r{n}")) for n in range(3)]
        await hold.reached.wait()
        stub = DialogueServiceStub(channel)
        while len((await stub.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await running.kill()
        await asyncio.gather(*lost, return_exceptions=True)
    async with service.run(), service.connect() as channel:
        stub = DialogueServiceStub(channel)
        async with asyncio.timeout(PATIENCE):
            while True:
                turns = (await stub.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns
                if all(turn.status == TURN_STATUS_DONE for turn in turns):
                    break
                await asyncio.sleep(0.05)
    assert [turn.number for turn in turns] == [1, 2, 3, 4]
    assert sorted(reply_texts(turn)[0] for turn in turns[1:]) == ["Echo: say 0", "Echo: say 1", "Echo: say 2"]


async def test_workers_share_sessions(service):
    """Inputs for one session, each by whatever worker took the connection: one order, each answered once."""
    async with service.run(workers=3):
        channels = [service.connect() for _ in range(8)]
        try:
            session = await opened(channels[0])
            answers = await asyncio.gather(
                *(send(channel, session, f"say {n}", f"r{n}") for n, channel in enumerate(channels * 2))
            )
            again = await asyncio.gather(
                *(send(channel, session, f"say {n}", f"r{n}") for n, channel in enumerate(reversed(channels)))
            )
        finally:
            for channel in channels:
                await channel.close()
    numbers = [answer.turn.number for answer in answers]
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 16))
    assert [reply_texts(answer.turn) for answer in answers] == [[f"Echo: say {n}"] for n in range(16)]
    assert [answer.turn for answer in again] == [answer.turn for answer in answers[:8]]
    assert len(service.peers.gateway.requests) == 16


async def test_workers_that_are_killed_leave_their_turns_to_those_that_come(service):
    hold = Hold()
    service.peers.gateway.scripts.append([hold])
    async with service.run(workers=2) as running:
        async with service.connect() as channel:
            session = await opened(channel)
            lost = asyncio.create_task(send(channel, session, "hello", "r1"))
            await hold.reached.wait()
            for worker in children(running.pid):
                os.kill(worker, signal.SIGKILL)
            await asyncio.gather(lost, return_exceptions=True)
        async with service.connect() as channel:
            answer = await send(channel, session, "hello", "r1")
    assert reply_texts(answer.turn) == ["Echo: hello"]


async def test_a_turn_is_cancelled_through_any_worker(service):
    hold = Hold()
    service.peers.gateway.scripts.append(["Half", hold])
    async with service.run(workers=3):
        channels = [service.connect() for _ in range(6)]
        try:
            session = await opened(channels[0])
            stubs = [DialogueServiceStub(channel) for channel in channels]
            wish = pb.StreamTurnRequest(session_id=session.id, request_id="r1", text="hello")
            events = aiter(stubs[0].StreamTurn(wish, timeout=PATIENCE))
            # What the model has sent is not yet what the service has heard.
            while not (await anext(events)).text_delta.text:
                pass
            request = pb.CancelTurnRequest(session_id=session.id, request_id="r1")
            answers = await asyncio.gather(*(stub.CancelTurn(request, timeout=PATIENCE) for stub in stubs))
            turn = [event async for event in events][-1].turn_finished.turn
        finally:
            for channel in channels:
                await channel.close()
    assert turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(turn) == ["Half"]
    assert all(answer.turn == turn for answer in answers)


def children(pid: int) -> list[int]:
    """The processes that a process started and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
