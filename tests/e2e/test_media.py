"""Images from a turn to the vendor's API, through all services, byte for byte."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from clawdbot.common.v1.message_pb2 import Media, Message, Part
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb

from tests.support.dialogue_client import said, talk
from tests.support.fake_openai import KEY, Answer, chunk, fake_openai, sse
from tests.support.topologies import one_process, three_processes

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}


CAMERA = f'''
"""Shows the dining room."""

from clawdbot_plugin_sdk import Context, Plugin

plugin = Plugin("camera", version="0.1.0")


@plugin.tool(effect="none")
async def look(ctx: Context) -> str:
    """Look into the dining room."""
    ctx.attach({PNG!r}, "image/png")
    return "It is full."
'''
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "camera_look", "arguments": "{}"}}
CALLING = [chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls")]
FLOW = """
flow: room
version: 1
description: Tells what the dining room looks like
states:
  talk: {generate: {instructions: Look before you answer., tools: [camera.look]}}
"""


def camera(folder):
    """Installs the plugin and the flow in a folder; returns the environment to find both in."""
    info = folder / "camera-0.1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "camera_plugin.py").write_text(CAMERA)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: camera\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[clawdbot.plugins]\ncamera = camera_plugin:plugin\n")
    (folder / "room.yaml").write_text(FLOW)
    return {
        "PYTHONPATH": str(folder),
        "CLAWDBOT_PLUGINS": '["camera"]',
        "CLAWDBOT_FLOWS": json.dumps([str(folder / "room.yaml")]),
    }


async def test_an_image_that_a_plugin_returns_reaches_the_vendor(tmp_path):
    async with fake_openai() as backend:
        model = {"provider": "openai_compatible", "endpoint": backend.url, "api_key": KEY}
        environment = {"CLAWDBOT_MODEL": json.dumps(model), **camera(tmp_path / "site")}
        state = tmp_path / "state"
        async with one_process(state, environment) as suite, talk(suite.dialogue, "room") as room:
            backend.will(Answer([sse(*CALLING)]))
            turn = await room.say("Is there a seat?")
            assert said(turn) == "Good evening."
            assert turn.tool_calls[0].result.content[1].image.data == PNG
            result, shown = backend.last["messages"][-2:]
            assert (result["role"], result["content"]) == ("tool", "It is full.")
            assert (shown["role"], shown["content"][-1]) == ("user", SHOWN)


async def test_an_image_reaches_the_vendor_through_three_services_and_stays_in_the_session(tmp_path):
    image = Part(image=Media(data=PNG, media_type="image/png"))
    message = Message(parts=[Part(text="What is this?"), image])
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
