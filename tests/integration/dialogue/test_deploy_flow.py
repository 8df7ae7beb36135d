"""Flows deployed and drawn over gRPC: live at once, kept for good, for every process of the store."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2
from clawdbot.dialogue.v1 import flow_service_pb2 as pb
from clawdbot_servicekit.errors import StartupError

from tests.integration.dialogue.test_flow_service import BROKEN
from tests.support.dialogue_service import rpc_error, serving

SOURCE = """
flow: greet
version: {version}
slots:
  name: {{type: string, ask: "{word} Who?"}}
states:
  hello: {{collect: [name], next: bye}}
  bye: {{say: "{word} bye.", end: true}}
"""


def source(version=1, word="Hello."):
    return SOURCE.format(version=version, word=word)


async def deploy(served, text):
    return await served.flows.DeployFlow(pb.DeployFlowRequest(source=text))


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        yield served


async def test_a_deployed_flow_is_live_and_shown_with_its_time(served):
    answer = await deploy(served, source())
    assert (answer.flow.name, answer.flow.version) == ("greet", 1)
    assert answer.flow.HasField("deploy_time")
    shown = await served.flows.GetFlow(pb.GetFlowRequest(name="greet"))
    assert (shown.flow, shown.source) == (answer.flow, source())
    listed = await served.flows.ListFlows(pb.ListFlowsRequest())
    assert answer.flow in listed.flows
    assert (await served.open("greet")).flow_version == 1


async def test_a_flow_from_a_file_has_no_deploy_time(served):
    shown = await served.flows.GetFlow(pb.GetFlowRequest(name="chat"))
    assert not shown.flow.HasField("deploy_time")


async def test_a_session_keeps_its_version_while_a_new_one_is_deployed(served):
    await deploy(served, source(1, "One."))
    old = await served.open("greet")
    await deploy(served, source(2, "Two."))
    new = await served.open("greet")
    assert (old.flow_version, new.flow_version) == (1, 2)
    assert "One. bye." in str((await served.send(old, "Ann")).turn.replies)
    assert "Two. bye." in str((await served.send(new, "Ann")).turn.replies)


async def test_deploying_under_traffic_loses_no_call(served):
    await deploy(served, source(1, "v1."))

    async def talk():
        session = await served.open("greet")
        ended = await served.send(session, "Ann")
        return f"v{session.flow_version}. bye." in str(ended.turn.replies)

    talks = [asyncio.create_task(talk()) for _ in range(10)]
    for version in range(2, 6):
        await deploy(served, source(version, f"v{version}."))
        talks += [asyncio.create_task(talk()) for _ in range(5)]
    assert all(await asyncio.gather(*talks))


async def test_the_same_source_again_changes_nothing(served):
    assert await deploy(served, source()) == await deploy(served, source())


async def test_another_source_in_the_same_version_is_refused(served):
    await deploy(served, source())
    fault = await rpc_error(deploy(served, source(word="Other.")))
    assert (fault.code, fault.reason) == ("ALREADY_EXISTS", "FLOW_VERSION_EXISTS")


async def test_a_version_that_a_file_has_is_refused(served):
    chat = (await served.flows.GetFlow(pb.GetFlowRequest(name="chat"))).source
    fault = await rpc_error(deploy(served, chat + "\n# changed\n"))
    assert fault.reason == "FLOW_VERSION_EXISTS"


async def test_of_two_rivals_for_a_version_one_wins(served):
    ends = await asyncio.gather(
        *(deploy(served, source(word=word)) for word in ("One.", "Two.")), return_exceptions=True
    )
    won = [end for end in ends if isinstance(end, pb.DeployFlowResponse)]
    (lost,) = [end for end in ends if end not in won]
    assert len(won) == 1
    assert lost.code().name == "ALREADY_EXISTS"


async def test_an_older_version_is_there_for_who_asks_for_it(served):
    await deploy(served, source(5))
    await deploy(served, source(4))
    assert (await served.open("greet")).flow_version == 5
    assert (await served.open("greet", flow_version=4)).flow_version == 4


async def test_a_broken_source_is_refused_with_every_fault_in_its_place(served):
    fault = await rpc_error(deploy(served, BROKEN))
    assert (fault.code, fault.reason) == ("INVALID_ARGUMENT", "FLOW_INVALID")
    (violation,) = fault.violations
    assert violation.field == "source"
    assert violation.description.startswith("10:")
    assert "cuont" in violation.description
    fault = await rpc_error(served.flows.GetFlow(pb.GetFlowRequest(name="greet")))
    assert fault.reason == "FLOW_NOT_FOUND"


async def test_what_is_missing_is_warned_of(served):
    calls = (
        "flow: c\nversion: 1\nstates:\n"
        "  a: {call: {tool: nowhere, effect: none}, next: b}\n  b: {say: B., end: true}\n"
    )
    answer = await deploy(served, calls)
    assert "unknown-tool" in {each.code for each in answer.diagnostics}


async def test_another_process_of_the_store_has_it_at_once_and_goes_on_with_its_sessions(tmp_path):
    shared = {"stores": {"dialogue": str(tmp_path / "shared.db")}}
    async with serving(tmp_path / "a", **shared) as one, serving(tmp_path / "b", **shared) as two:
        for version in (1, 2, 3):
            await deploy(one, source(version, f"v{version}."))
            session = await two.open("greet")
            assert session.flow_version == version
        await deploy(one, source(4, "v4."))
        session = await one.open("greet")
        assert "v4. bye." in str((await two.send(session, "Ann")).turn.replies)


async def test_a_deployed_flow_is_there_after_a_restart(tmp_path):
    async with serving(tmp_path) as served:
        await deploy(served, source())
    async with serving(tmp_path) as served:
        assert (await served.open("greet")).flow_version == 1


async def test_a_file_that_differs_from_what_was_deployed_stops_the_start(tmp_path):
    async with serving(tmp_path) as served:
        await deploy(served, source())
    file = tmp_path / "greet.yaml"
    file.write_text(source(word="Other."))
    with pytest.raises(StartupError, match="Version 1 of the flow greet is deployed with another source"):
        async with serving(tmp_path, flows=[file]):
            pass


async def test_a_flow_is_drawn_for_mermaid_unless_asked_else(served):
    answer = await served.flows.RenderFlow(pb.RenderFlowRequest(name="book_table"))
    assert answer.media_type == "text/vnd.mermaid"
    assert answer.data.startswith(b"stateDiagram-v2")


async def test_a_session_has_its_own_version_drawn_with_its_state_highlighted(served):
    await deploy(served, source(1))
    session = await served.open("greet")
    await deploy(served, source(2).replace("hello", "welcome"))
    answer = await served.flows.RenderFlow(pb.RenderFlowRequest(session_id=session.id))
    assert b'"hello" as s0' in answer.data
    assert b"class s0 highlighted" in answer.data
    await served.send(session, "Ann")
    answer = await served.flows.RenderFlow(pb.RenderFlowRequest(name="greet", session_id=session.id))
    assert b"class s1 highlighted" in answer.data


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "nowhere"}, "FLOW_NOT_FOUND"),
        ({"name": "chat", "version": -1}, "INVALID_REQUEST"),
        ({"name": "chat", "format": 77}, "INVALID_REQUEST"),
        ({"session_id": "nobody's"}, "SESSION_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_drawn_is_told(served, fields, reason):
    assert (await rpc_error(served.flows.RenderFlow(pb.RenderFlowRequest(**fields)))).reason == reason


async def test_of_a_session_that_was_interrupted_each_flow_is_drawn_where_it_stands(served):
    session = await served.open("support")
    await served.send(session, "My coat was stolen")
    answer = await served.send(session, "book a table for 4 tomorrow at 7pm")
    assert [each.flow for each in answer.session.stack] == ["support", "book_table"]
    for name in ("support", "book_table"):
        drawn = await served.flows.RenderFlow(pb.RenderFlowRequest(name=name, session_id=session.id))
        assert b"highlighted" in drawn.data
    drawn = await served.flows.RenderFlow(pb.RenderFlowRequest(session_id=session.id))
    assert b'"urgency"' in drawn.data


async def test_a_session_of_another_flow_is_refused(served):
    session = await served.open("chat")
    fault = await rpc_error(served.flows.RenderFlow(pb.RenderFlowRequest(name="faq", session_id=session.id)))
    assert fault.violations[0].field == "name"


async def test_without_graphviz_a_picture_is_refused_with_what_to_install(served, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    request = pb.RenderFlowRequest(name="chat", format=pb.DIAGRAM_FORMAT_SVG)
    fault = await rpc_error(served.flows.RenderFlow(request))
    assert (fault.code, fault.reason) == ("FAILED_PRECONDITION", "RENDERER_MISSING")
    assert "graphviz" in fault.message


KEYS = {
    "keys": [
        {"id": "a", "key": "key-of-a-0123456789", "tenant": "a", "scopes": ["dialogue.admin"]},
        {"id": "b", "key": "key-of-b-0123456789", "tenant": "b", "scopes": ["dialogue"]},
    ]
}


def of(key):
    return {"metadata": (("x-api-key", f"key-of-{key}-0123456789"),)}


async def test_deploying_needs_the_admin_scope_and_sessions_are_drawn_for_their_tenant_alone(tmp_path):
    async with serving(tmp_path, auth=KEYS) as served:
        fault = await rpc_error(served.flows.DeployFlow(pb.DeployFlowRequest(source=source()), **of("b")))
        assert (fault.code, fault.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
        await served.flows.DeployFlow(pb.DeployFlowRequest(source=source()), **of("a"))
        request = dialogue_service_pb2.CreateSessionRequest(flow="greet")
        session = (await served.dialogue.CreateSession(request, **of("b"))).session
        drawing = pb.RenderFlowRequest(session_id=session.id)
        assert (await served.flows.RenderFlow(drawing, **of("b"))).data
        fault = await rpc_error(served.flows.RenderFlow(drawing, **of("a")))
        assert fault.reason == "SESSION_NOT_FOUND"
