"""Pictures from a person's turn to the vendor's door, through all services, byte for byte."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from clawdbot.common.v1.message_pb2 import Media, Message, Part
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb

from tests.support.fake_openai import KEY, fake_openai
from tests.support.talking import said, talk
from tests.support.topologies import three_processes

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}


async def test_a_picture_comes_through_three_services_to_the_vendor_and_stays(tmp_path):
    picture = Part(image=Media(data=PNG, media_type="image/png"))
    message = Message(parts=[Part(text="What is this?"), picture])
    async with fake_openai() as backend:
        model = {"provider": "openai_compatible", "endpoint": backend.url, "api_key": KEY}
        environment = {"CLAWDBOT_MODEL": json.dumps(model)}
        async with three_processes(tmp_path, environment) as suite, talk(suite.dialogue, "chat") as chat:
            request = pb.SendTurnRequest(session_id=chat.session.id, message=message)
            turn = (await chat.stub.SendTurn(request, timeout=30)).turn
            assert said(turn) == "Good evening."
            assert backend.last["messages"][-1]["content"] == [
                {"type": "text", "text": "What is this?"},
                SHOWN,
            ]
            await chat.say("And what is left of it?")
            assert backend.last["messages"][-3]["content"][1] == SHOWN
            export = chat.stub.ExportSession(pb.ExportSessionRequest(session_id=chat.session.id))
            lines = b"".join([chunk.data async for chunk in export]).splitlines()
            kept = json.loads(lines[2])["input"]["parts"][1]["image"]
            assert kept == {"data": b64encode(PNG).decode(), "mediaType": "image/png"}
