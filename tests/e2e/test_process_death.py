"""The suite is killed in the middle of a turn: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE

from tests.support.dialogue_client import said, talk
from tests.support.fake_openai import HOLD, KEY, fake_openai
from tests.support.ports import free_port
from tests.support.processes import process

pytestmark = pytest.mark.integration


async def test_a_turn_that_was_running_is_finished_once(tmp_path):
    async with fake_openai() as backend:
        port = free_port()
        environment = {"OPENAI_BASE_URL": backend.url, "OPENAI_API_KEY": KEY}
        backend.will(HOLD)
        async with (
            process("clawdbot_cli", "up", state=tmp_path, environment=environment, port=port) as suite,
            talk(suite.address, "chat") as chat,
        ):
            session = chat.session.id
            turn = asyncio.create_task(chat.say("good evening", "the-turn"))
            await backend.busy.wait()
            await suite.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await turn
        async with (
            process("clawdbot_cli", "up", state=tmp_path, environment=environment, port=port) as suite,
            grpc.aio.insecure_channel(suite.address) as channel,
        ):
            stub = DialogueServiceStub(channel)
            request = pb.SendTurnRequest(session_id=session, request_id="the-turn", text="good evening")
            again = await stub.SendTurn(request, timeout=30)
            listed = await stub.ListTurns(pb.ListTurnsRequest(session_id=session))
    assert again.turn.status == TURN_STATUS_DONE
    assert said(again.turn) == "Good evening."
    assert [each.request_id for each in listed.turns] == ["", "the-turn"]
    assert said(listed.turns[1]) == "Good evening."
