"""Images and documents in a conversation: what reaches the model, and when labels replace them."""

from __future__ import annotations

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    ToolResult,
)
from clawdbot.plugins.v1.tool_service_pb2 import ToolOutcome
from clawdbot_dialogue.core.turns.context_window import fit_to_budget
from clawdbot_dialogue.core.turns.ports import TurnLimits
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.settings.media import MediaSettings
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine_cluster import reply_texts, running_cluster
from tests.support.scripted_peers import call

PNG = b"\x89PNG" + bytes(2000)
PICTURE = Part(image=Media(data=PNG, media_type="image/png"))
PAPER = Part(document=Document(data=b"%PDF" + bytes(2000), media_type="application/pdf", title="menu.pdf"))


def shows(*parts, role=ROLE_USER):
    return Message(role=role, parts=[Part(text=each) if isinstance(each, str) else each for each in parts])


async def test_an_image_reaches_the_model_and_stays_in_the_conversation(cluster):
    session = await cluster.open_session()
    await cluster.send(session, shows("What is this?", PICTURE, PAPER))
    (asked,) = cluster.gateway.requests
    assert [part.WhichOneof("content") for part in asked.messages[-1].parts] == ["text", "image", "document"]
    assert asked.messages[-1].parts[1].image.data == PNG
    await cluster.send(session, "and the left half of it?")
    assert cluster.gateway.requests[1].messages[1].parts[1].image.data == PNG
    assert (await cluster.turns(session))[0].input.parts[1] == PICTURE


async def test_an_image_without_text_gets_a_reply(cluster):
    session = await cluster.open_session()
    turn = (await cluster.send(session, shows(PICTURE))).turn
    assert reply_texts(turn)
    assert cluster.gateway.requests[0].messages[-1].parts[0].image.data == PNG


async def test_a_caption_fills_a_slot_and_a_bare_image_does_not(cluster):
    session = await cluster.open_session("order")
    bare = (await cluster.send(session, shows(PICTURE))).turn
    assert reply_texts(bare) == ["Sorry, I did not understand that. How many?"]
    assert reply_texts((await cluster.send(session, shows("3 of these", PICTURE))).turn) == ["Thank you."]


async def test_an_image_that_a_tool_returns_goes_to_the_model(cluster):
    outcome = ToolOutcome(content=[Part(text="A map."), PICTURE])
    cluster.tools.add("clock.now", lambda _: outcome, "none")
    session = await cluster.open_session()
    cluster.gateway.scripts.append([call("clock.now", "a")])
    turn = (await cluster.send(session, "show me a map")).turn
    result = cluster.gateway.requests[1].messages[-1].parts[0].tool_result
    assert [part.WhichOneof("content") for part in result.content] == ["text", "image"]
    assert turn.tool_calls[0].result.content[1].image.data == PNG


async def test_media_that_a_tool_names_against_the_policy_are_left_out_with_the_reason(cluster):
    link = Part(image=Media(uri="http://169.254.169.254/latest/meta-data/"))
    outcome = ToolOutcome(content=[Part(text="A map."), link, PICTURE])
    cluster.tools.add("clock.now", lambda _: outcome, "none")
    session = await cluster.open_session()
    cluster.gateway.scripts.append([call("clock.now", "a")])
    turn = (await cluster.send(session, "show me a map")).turn
    stored = turn.tool_calls[0].result
    assert not stored.is_error
    assert [part.WhichOneof("content") for part in stored.content] == ["text", "text", "image"]
    assert stored.content[1].text.startswith("[left out: result.image.uri has the scheme http:, ")
    assert cluster.gateway.requests[-1].messages[-1].parts[0].tool_result.content == stored.content


TALK = "{flow: chat, version: 1, description: Talk, states: {talk: {generate: {instructions: Be brief.}}}}"


async def test_media_stored_under_a_more_generous_policy_become_labels(tmp_path):
    link = Part(image=Media(uri="https://files.internal/map.png"))
    generous = TurnLimits(media=MediaPolicy(MediaSettings(private_hosts=["files.internal"])))
    async with running_cluster("sqlite", tmp_path, generous) as cluster:
        cluster.flow(TALK)
        session = await cluster.open_session()
        await cluster.send(session, shows("What is this?", link, PICTURE))
        assert cluster.gateway.requests[-1].messages[-1].parts[1] == link
        cluster.limits = TurnLimits()
        await cluster.crash()
        await cluster.send(session, "and that?")
        shown = cluster.gateway.requests[-1].messages[1].parts
        assert [part.text for part in shown[:2]] == ["What is this?", "[image, not allowed]"]
        assert shown[2] == PICTURE
        assert (await cluster.turns(session))[0].input.parts[1] == link


def test_media_are_replaced_before_text_is_cut_the_oldest_first():
    messages = [
        shows("first", PICTURE),
        shows("one", role=ROLE_ASSISTANT),
        shows("second", PAPER),
        shows(Part(tool_result=ToolResult(call_id="c", content=[PICTURE])), role=ROLE_TOOL),
        shows("two", role=ROLE_ASSISTANT),
    ]
    light = fit_to_budget(messages, 4500)
    assert [part.text for part in light[0].parts] == ["first", "[image, shown earlier]"]
    assert light[2:] == messages[2:]
    lightest = fit_to_budget(messages, 300)
    assert len(lightest) == 5
    assert lightest[2].parts[1].text == "[document menu.pdf, shown earlier]"
    assert lightest[3].parts[0].tool_result.content[0].text == "[image, shown earlier]"
    assert messages[0].parts[1] == PICTURE


@given(
    sizes=st.lists(st.tuples(st.sampled_from([ROLE_USER, ROLE_ASSISTANT]), st.integers(0, 300)), max_size=12),
    limit=st.integers(0, 2000),
)
def test_a_transcript_that_fits_stays_as_it_is(sizes, limit):
    picture = Part(image=Media(data=b"x" * 50, media_type="image/png"))
    messages = [shows("w" * size, *([picture] if size % 2 else []), role=role) for role, size in sizes]
    shown = fit_to_budget(messages, limit)
    if sum(message.ByteSize() for message in messages) <= limit:
        assert list(shown) == messages
    assert [message.role for message in shown] == [message.role for message in messages][
        len(messages) - len(shown) :
    ]
