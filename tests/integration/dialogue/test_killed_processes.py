"""Real processes, really killed: sessions are there afterwards, and nothing was done twice.

The peers are scripted, in this process: a tool or a model that holds is where the service is killed.
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

from tests.support.conditions import until
from tests.support.dialogue_service import scripted_peers
from tests.support.engine_cluster import reply_texts
from tests.support.ports import free_port
from tests.support.processes import process
from tests.support.scripted_peers import Hold
from tests.unit.dialogue.turns.conftest import ORDER

pytestmark = pytest.mark.integration

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
"""So each channel can reach another worker."""
TIMEOUT = 30.0


class Service:
    """How to start the service, and its peers."""

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
        """Starts the process, each time on the same port and the same store."""
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


async def create_session(channel, flow="chat"):
    request = pb.CreateSessionRequest(flow=flow)
    return (await DialogueServiceStub(channel).CreateSession(request, timeout=TIMEOUT)).session


async def send(channel, session, text, request_id=""):
    request = pb.SendTurnRequest(session_id=session.id, text=text, request_id=request_id)
    return await DialogueServiceStub(channel).SendTurn(request, timeout=TIMEOUT, wait_for_ready=True)


async def test_a_purchase_that_was_running_when_the_process_was_killed_is_not_made_again(service):
    selling = Hold()
    service.peers.tools.add("shop.buy", selling, "once")
    async with service.run() as running, service.connect() as channel:
        session = await create_session(channel, "order")
        lost = asyncio.create_task(send(channel, session, "3", "r1"))
        await selling.reached.wait()
        await running.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await lost
    async with service.run(), service.connect() as channel:
        response = await send(channel, session, "3", "r1")
        listed = await DialogueServiceStub(channel).ListTurns(pb.ListTurnsRequest(session_id=session.id))
    assert reply_texts(response.turn)[0] == "I do not know whether that was bought."
    (record,) = response.turn.tool_calls
    assert record.outcome_unknown
    assert len(service.peers.tools.calls) == 1
    assert [turn.number for turn in listed.turns] == [1, 2]


async def test_a_reply_that_was_streaming_when_the_process_was_killed_is_generated_again(service):
    hold = Hold()
    service.peers.gateway.scripts.append(["Half a sen", hold])
    service.peers.gateway.scripts.append(["A whole sentence."])
    async with service.run() as running, service.connect() as channel:
        session = await create_session(channel)
        stream = DialogueServiceStub(channel).StreamTurn(
            pb.StreamTurnRequest(session_id=session.id, text="hello", request_id="r1"), timeout=TIMEOUT
        )
        await hold.reached.wait()
        await running.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in stream:
                pass
    async with service.run(), service.connect() as channel:
        response = await send(channel, session, "hello", "r1")
        after = await send(channel, session, "and now?")
    assert reply_texts(response.turn) == ["A whole sentence."]
    assert (response.turn.status, after.turn.number) == (TURN_STATUS_DONE, response.turn.number + 1)
    shown = [message.parts[0].text for message in service.peers.gateway.requests[-1].messages]
    assert shown.count("A whole sentence.") == 1
    assert "Half a sen" not in shown


async def test_turns_are_recovered_after_a_restart_without_a_retry(service):
    hold = Hold()
    service.peers.gateway.scripts.append([hold])
    async with service.run() as running, service.connect() as channel:
        session = await create_session(channel)
        lost = [asyncio.create_task(send(channel, session, f"say {n}", f"r{n}")) for n in range(3)]
        await hold.reached.wait()
        stub = DialogueServiceStub(channel)

        async def all_accepted():
            return len((await stub.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns) == 4

        await until(all_accepted)
        await running.kill()
        await asyncio.gather(*lost, return_exceptions=True)
    async with service.run(), service.connect() as channel:
        stub = DialogueServiceStub(channel)

        async def all_done():
            turns = (await stub.ListTurns(pb.ListTurnsRequest(session_id=session.id))).turns
            return all(turn.status == TURN_STATUS_DONE for turn in turns) and turns

        turns = await until(all_done)
    assert [turn.number for turn in turns] == [1, 2, 3, 4]
    assert sorted(reply_texts(turn)[0] for turn in turns[1:]) == ["Echo: say 0", "Echo: say 1", "Echo: say 2"]


async def test_workers_share_sessions(service):
    """Inputs for one session, through any worker: they have one order, and each is run once."""
    async with service.run(workers=3):
        channels = [service.connect() for _ in range(8)]
        try:
            session = await create_session(channels[0])
            responses = await asyncio.gather(
                *(send(channel, session, f"say {n}", f"r{n}") for n, channel in enumerate(channels * 2))
            )
            again = await asyncio.gather(
                *(send(channel, session, f"say {n}", f"r{n}") for n, channel in enumerate(reversed(channels)))
            )
        finally:
            for channel in channels:
                await channel.close()
    numbers = [response.turn.number for response in responses]
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 16))
    assert [reply_texts(response.turn) for response in responses] == [[f"Echo: say {n}"] for n in range(16)]
    assert [response.turn for response in again] == [response.turn for response in responses[:8]]
    assert len(service.peers.gateway.requests) == 16


async def test_turns_of_killed_workers_are_recovered_by_their_replacements(service):
    hold = Hold()
    service.peers.gateway.scripts.append([hold])
    async with service.run(workers=2) as running:
        async with service.connect() as channel:
            session = await create_session(channel)
            lost = asyncio.create_task(send(channel, session, "hello", "r1"))
            await hold.reached.wait()
            for worker in children(running.pid):
                os.kill(worker, signal.SIGKILL)
            await asyncio.gather(lost, return_exceptions=True)
        async with service.connect() as channel:
            response = await send(channel, session, "hello", "r1")
    assert reply_texts(response.turn) == ["Echo: hello"]


async def test_a_turn_is_cancelled_through_any_worker(service):
    hold = Hold()
    service.peers.gateway.scripts.append(["Half", hold])
    async with service.run(workers=3):
        channels = [service.connect() for _ in range(6)]
        try:
            session = await create_session(channels[0])
            stubs = [DialogueServiceStub(channel) for channel in channels]
            turn_request = pb.StreamTurnRequest(session_id=session.id, request_id="r1", text="hello")
            events = aiter(stubs[0].StreamTurn(turn_request, timeout=TIMEOUT))
            # The model has sent this text once the service has streamed it.
            while not (await anext(events)).text_delta.text:
                pass
            request = pb.CancelTurnRequest(session_id=session.id, request_id="r1")
            responses = await asyncio.gather(*(stub.CancelTurn(request, timeout=TIMEOUT) for stub in stubs))
            turn = [event async for event in events][-1].turn_finished.turn
        finally:
            for channel in channels:
                await channel.close()
    assert turn.status == TURN_STATUS_CANCELLED
    assert reply_texts(turn) == ["Half"]
    assert all(response.turn == turn for response in responses)


def children(pid: int) -> list[int]:
    """The live child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
