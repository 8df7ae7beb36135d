"""Flows deployed and rendered over gRPC: live at once and durable, for every process of the store."""

from __future__ import annotations

import asyncio
import socket

import grpc.aio
import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2
from clawdbot.dialogue.v1 import flow_service_pb2 as pb
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub
from clawdbot_servicekit.errors import StartupError

from tests.integration.dialogue.test_flow_service import BROKEN
from tests.support.dialogue_service import rpc_error, serving, stream_rpc_error

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
    response = await deploy(served, source())
    assert (response.flow.name, response.flow.version) == ("greet", 1)
    assert response.flow.HasField("deploy_time")
    shown = await served.flows.GetFlow(pb.GetFlowRequest(name="greet"))
    assert (shown.flow, shown.source) == (response.flow, source())
    listed = await served.flows.ListFlows(pb.ListFlowsRequest())
    assert response.flow in listed.flows
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
    error = await rpc_error(deploy(served, source(word="Other.")))
    assert (error.code, error.reason) == ("ALREADY_EXISTS", "FLOW_VERSION_EXISTS")


async def test_a_version_that_a_file_has_is_refused(served):
    chat = (await served.flows.GetFlow(pb.GetFlowRequest(name="chat"))).source
    error = await rpc_error(deploy(served, chat + "\n# changed\n"))
    assert error.reason == "FLOW_VERSION_EXISTS"


async def test_of_two_rivals_for_a_version_one_wins(served):
    ends = await asyncio.gather(
        *(deploy(served, source(word=word)) for word in ("One.", "Two.")), return_exceptions=True
    )
    won = [end for end in ends if isinstance(end, pb.DeployFlowResponse)]
    (lost,) = [end for end in ends if end not in won]
    assert len(won) == 1
    assert lost.code().name == "ALREADY_EXISTS"


async def test_an_older_version_is_there_for_sessions_that_name_it(served):
    await deploy(served, source(5))
    await deploy(served, source(4))
    assert (await served.open("greet")).flow_version == 5
    assert (await served.open("greet", flow_version=4)).flow_version == 4


async def test_a_source_with_errors_is_refused_with_each_error_and_its_position(served):
    error = await rpc_error(deploy(served, BROKEN))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "FLOW_INVALID")
    (violation,) = error.violations
    assert violation.field == "source"
    assert violation.description.startswith("10:")
    assert "cuont" in violation.description
    error = await rpc_error(served.flows.GetFlow(pb.GetFlowRequest(name="greet")))
    assert error.reason == "FLOW_NOT_FOUND"


async def test_a_missing_tool_is_a_warning(served):
    calls = (
        "flow: c\nversion: 1\nstates:\n"
        "  a: {call: {tool: nowhere, effect: none}, next: b}\n  b: {say: B., end: true}\n"
    )
    response = await deploy(served, calls)
    assert "unknown-tool" in {each.code for each in response.diagnostics}


async def test_another_process_of_the_store_has_a_deployed_flow_at_once_and_runs_its_sessions(tmp_path):
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


async def test_a_file_that_differs_from_the_deployed_flow_stops_the_start(tmp_path):
    async with serving(tmp_path) as served:
        await deploy(served, source())
    file = tmp_path / "greet.yaml"
    file.write_text(source(word="Other."))
    with pytest.raises(StartupError, match="Version 1 of the flow greet is deployed with another source"):
        async with serving(tmp_path, flows=[file]):
            pass


async def test_a_flow_is_rendered_as_mermaid_by_default(served):
    response = await served.flows.RenderFlow(pb.RenderFlowRequest(name="book_table"))
    assert response.media_type == "text/vnd.mermaid"
    assert response.data.startswith(b"stateDiagram-v2")


async def test_a_sessions_own_version_is_rendered_with_its_state_highlighted(served):
    await deploy(served, source(1))
    session = await served.open("greet")
    await deploy(served, source(2).replace("hello", "welcome"))
    response = await served.flows.RenderFlow(pb.RenderFlowRequest(session_id=session.id))
    assert b'"hello" as s0' in response.data
    assert b"class s0 highlighted" in response.data
    await served.send(session, "Ann")
    response = await served.flows.RenderFlow(pb.RenderFlowRequest(name="greet", session_id=session.id))
    assert b"class s1 highlighted" in response.data


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "nowhere"}, "FLOW_NOT_FOUND"),
        ({"name": "chat", "version": -1}, "INVALID_REQUEST"),
        ({"name": "chat", "format": 77}, "INVALID_REQUEST"),
        ({"session_id": "missing"}, "SESSION_NOT_FOUND"),
    ],
)
async def test_a_flow_that_cannot_be_rendered_is_an_error_with_a_reason(served, fields, reason):
    assert (await rpc_error(served.flows.RenderFlow(pb.RenderFlowRequest(**fields)))).reason == reason


async def test_each_flow_on_the_stack_of_a_session_is_rendered_with_its_state(served):
    session = await served.open("support")
    await served.send(session, "My coat was stolen")
    response = await served.send(session, "book a table for 4 tomorrow at 7pm")
    assert [each.flow for each in response.session.stack] == ["support", "book_table"]
    for name in ("support", "book_table"):
        rendered = await served.flows.RenderFlow(pb.RenderFlowRequest(name=name, session_id=session.id))
        assert b"highlighted" in rendered.data
    rendered = await served.flows.RenderFlow(pb.RenderFlowRequest(session_id=session.id))
    assert b'"urgency"' in rendered.data


async def test_a_session_of_another_flow_is_refused(served):
    session = await served.open("chat")
    error = await rpc_error(served.flows.RenderFlow(pb.RenderFlowRequest(name="faq", session_id=session.id)))
    assert error.violations[0].field == "name"


async def test_without_graphviz_the_error_says_what_to_install(served, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    request = pb.RenderFlowRequest(name="chat", format=pb.DIAGRAM_FORMAT_SVG)
    error = await rpc_error(served.flows.RenderFlow(request))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "RENDERER_MISSING")
    assert "graphviz" in error.message


KEYS = {
    "keys": [
        {"id": "a", "key": "key-of-a-0123456789abcdef", "tenant": "a", "scopes": ["dialogue.admin"]},
        {"id": "b", "key": "key-of-b-0123456789abcdef", "tenant": "b", "scopes": ["dialogue"]},
    ]
}


def of(key):
    return {"metadata": (("x-api-key", f"key-of-{key}-0123456789abcdef"),)}


async def test_deploying_needs_the_admin_scope_and_only_a_tenant_sees_its_sessions_rendered(tmp_path):
    async with serving(tmp_path, auth=KEYS) as served:
        error = await rpc_error(served.flows.DeployFlow(pb.DeployFlowRequest(source=source()), **of("b")))
        assert (error.code, error.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
        await served.flows.DeployFlow(pb.DeployFlowRequest(source=source()), **of("a"))
        request = dialogue_service_pb2.CreateSessionRequest(flow="greet")
        session = (await served.dialogue.CreateSession(request, **of("b"))).session
        request_ = pb.RenderFlowRequest(session_id=session.id)
        assert (await served.flows.RenderFlow(request_, **of("b"))).data
        error = await rpc_error(served.flows.RenderFlow(request_, **of("a")))
        assert error.reason == "SESSION_NOT_FOUND"


def outside_address():
    """An address of this machine that other machines use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses an interface
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]


async def test_without_keys_anyone_may_talk_but_only_this_machine_may_deploy(tmp_path):
    """The address of the connection counts, whatever the headers say."""
    path = tmp_path / "socket"
    request = pb.DeployFlowRequest(source=source())
    async with serving(tmp_path, server={"host": "0.0.0.0", "port": 0, "socket": path}) as served:
        target = f"{outside_address()}:{served.host.port}"
        async with (
            grpc.aio.insecure_channel(target) as outside,
            grpc.aio.insecure_channel(f"unix:{path}") as here,
        ):
            flows = FlowServiceStub(outside)
            assert (await flows.ListFlows(pb.ListFlowsRequest())).flows
            error = await rpc_error(flows.DeployFlow(request, metadata=(("x-forwarded-for", "127.0.0.1"),)))
            assert (error.code, error.reason) == ("PERMISSION_DENIED", "LOCAL_ONLY")
            assert error.metadata == {"scope": "dialogue.admin"}
            assert "configure a key with that scope: auth.keys" in error.message
            for local in (served.flows, FlowServiceStub(here), FlowServiceStub(served.host.channel())):
                assert (await local.DeployFlow(request)).flow.name == "greet"


async def test_a_caller_over_ipv4_is_local_to_a_server_that_listens_on_ipv6(tmp_path):
    """Its address is then mapped into IPv6: ::ffff:127.0.0.1."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    async with serving(tmp_path, server={"host": "::", "port": 0}) as served:
        assert (await deploy(served, source())).flow.name == "greet"


async def test_a_key_that_names_no_scopes_may_talk_but_not_deploy(tmp_path):
    keys = [{key: value for key, value in each.items() if key != "scopes"} for each in KEYS["keys"]]
    async with serving(tmp_path, auth={"keys": keys}) as served:
        assert (await served.flows.ListFlows(pb.ListFlowsRequest(), **of("a"))).flows
        error = await rpc_error(served.flows.DeployFlow(pb.DeployFlowRequest(source=source()), **of("a")))
        assert (error.reason, error.metadata) == ("PERMISSION_DENIED", {"scope": "dialogue.admin"})


METHODS = [
    method
    for file in (pb.DESCRIPTOR, dialogue_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.name)
async def test_a_key_with_an_empty_list_of_scopes_may_call_nothing(tmp_path, method):
    keys = [{**each, "scopes": []} for each in KEYS["keys"]]
    name = f"/{method.containing_service.full_name}/{method.name}"
    async with serving(tmp_path, auth={"keys": keys}) as served:
        if method.server_streaming:
            error = await stream_rpc_error(served.channel.unary_stream(name)(b"", **of("a")))
        else:
            error = await rpc_error(served.channel.unary_unary(name)(b"", **of("a")))
    assert (error.code, error.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
