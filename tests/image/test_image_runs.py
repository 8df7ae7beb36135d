"""Containers of the images: read-only, non-root, without capabilities, they do what the processes do."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.containers import HARDENED, container, engine, image, volume
from tests.support.dialogue_client import said, talk
from tests.support.foreign import Grpcurl, run
from tests.support.packages import IMAGES
from tests.support.ports import free_port

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]

DIALOGUE = "clawdbot.dialogue.v1.DialogueService"
BOOKING = "a table for 4 tomorrow at 7pm"


async def test_a_conversation_goes_on_after_the_suite_was_stopped_and_started_again():
    """As the README shows it, with grpcurl."""
    with volume() as state:
        async with container("suite", state) as suite:
            grpcurl = Grpcurl(suite.address)
            assert DIALOGUE in await grpcurl.lines("list")
            created = await grpcurl.call(
                f"{DIALOGUE}/CreateSession", {"flow": "book_table", "request_id": "readme-1"}
            )
            session = created["session"]["id"]
            asked = await grpcurl.call(f"{DIALOGUE}/SendTurn", {"session_id": session, "text": BOOKING})
            assert asked["session"]["state"] == "confirm"
            assert await suite.probe() == await suite.probe("liveness") == 0
            assert await suite.stop() == 0
            assert '"event":"stopped"' in await suite.log()
        async with container("suite", state) as suite:
            done = await Grpcurl(suite.address).call(
                f"{DIALOGUE}/SendTurn", {"session_id": session, "text": "yes"}
            )
    assert done["turn"]["replies"][0]["parts"][0]["text"].startswith("Booked. Reference ")
    assert done["session"]["status"] == "SESSION_STATUS_ENDED"


async def test_a_suite_of_two_workers_converses_and_stops_with_exit_code_0():
    with volume() as state:
        async with container("suite", state, {"CLAWDBOT_SERVER__WORKERS": "2"}) as suite:
            async with talk(suite.address, "book_table") as booking:
                await booking.say(BOOKING)
                assert said(await booking.say("yes")).startswith("Booked. Reference ")
            assert await suite.stop() == 0


async def test_three_containers_hold_a_conversation():
    """As deploy/compose.yaml runs them."""
    gateway_port, plugins_port = free_port(), free_port()
    to_gateway = {"CLAWDBOT_PEERS__MODEL_GATEWAY": f"127.0.0.1:{gateway_port}"}
    to_plugins = {"CLAWDBOT_PEERS__PLUGINS": f"127.0.0.1:{plugins_port}"}
    with volume() as first, volume() as second, volume() as third:
        async with (
            container("plugins", first, port=plugins_port) as plugins,
            container("model_gateway", second, to_plugins, port=gateway_port) as gateway,
            container("dialogue", third, {**to_gateway, **to_plugins}) as dialogue,
        ):
            async with talk(dialogue.address, "book_table") as booking:
                await booking.say(BOOKING)
                assert said(await booking.say("yes")).startswith("Booked. Reference ")
            async with talk(dialogue.address, "chat") as chat:
                assert "hello there" in said(await chat.say("hello there"))
            codes = await asyncio.gather(dialogue.stop(), gateway.stop(), plugins.stop())
    assert codes == [0, 0, 0]


async def test_an_open_stream_is_finished_before_the_suite_ends():
    """The signal reaches Python, not a shell around it."""
    with volume() as state:
        async with container("suite", state) as suite, talk(suite.address, "chat") as chat:
            streaming = asyncio.create_task(chat.stream("hello there"))
            code, events = await asyncio.gather(suite.stop(), streaming)
    assert code == 0
    assert events[-1].WhichOneof("event") == "turn_finished"


@pytest.mark.parametrize("service", IMAGES)
async def test_a_wrong_setting_is_one_sentence_and_exit_code_2(service):
    command = (engine(), "run", "--rm", *HARDENED, "--env", "CLAWDBOT_SERVER__PROT=1", image(service))
    code, _, errors = await run(*command)
    assert code == 2
    assert "did you mean" in errors
    assert "Traceback" not in errors


async def test_a_file_in_the_working_directory_configures_it(tmp_path):
    (tmp_path / "clawdbot.yaml").write_text("server: {prot: 1}\n")
    mount = ("--volume", f"{tmp_path}:/etc/clawdbot:ro")
    tmp_path.chmod(0o755)
    code, _, errors = await run(engine(), "run", "--rm", *HARDENED, *mount, image("suite"))
    assert code == 2
    assert "clawdbot.yaml:1" in errors
