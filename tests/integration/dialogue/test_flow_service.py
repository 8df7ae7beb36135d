"""Flows over gRPC: listed, returned and validated; a source with errors gets diagnostics, not an error."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1 import flow_service_pb2 as pb
from clawdbot_dialogue.core import flow_admin
from clawdbot_servicekit.limited_process import Limits

from tests.support.dialogue_service import rpc_error, serving

GOOD = """
flow: greet
version: 3
description: Say hello
states:
  hello: {say: Hello., end: true}
"""

BROKEN = """flow: greet
version: 3
description: Say hello
slots:
  count: {type: integer, ask: How many?}
states:
  ask:
    collect: [count]
    next:
      - {if: "slots.cuont > 3", to: hello}
      - {to: hello}
  hello: {say: Hello., end: true}
"""


@pytest.fixture
async def served(tmp_path, monkeypatch):
    monkeypatch.setattr(flow_admin, "CHECK_LIMITS", Limits(seconds=100.0, memory=1024**3, processes=2))
    async with serving(tmp_path, dialogue={"max_flow": 20_000}) as served:
        yield served


async def test_the_shipped_flows_are_listed_by_name_a_page_at_a_time(served):
    names, request = [], pb.ListFlowsRequest(page_size=2)
    while True:
        page = await served.flows.ListFlows(request)
        assert len(page.flows) <= 2
        names += [flow.name for flow in page.flows]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert names == sorted(names)
    assert {"book_table", "chat", "faq", "support"} <= set(names)


async def test_a_flow_is_returned_with_its_source(served):
    response = await served.flows.GetFlow(pb.GetFlowRequest(name="book_table"))
    assert "party_size" in response.flow.slots
    assert "confirm" in response.flow.states
    assert response.source.startswith("# yaml-language-server")
    again = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=response.source))
    assert (again.flow.name, again.flow.version) == (response.flow.name, response.flow.version)


async def test_a_missing_version_is_not_found(served):
    error = await rpc_error(served.flows.GetFlow(pb.GetFlowRequest(name="chat", version=9)))
    assert (error.code, error.reason) == ("NOT_FOUND", "FLOW_NOT_FOUND")
    assert "version 9" in error.message
    error = await rpc_error(served.flows.GetFlow(pb.GetFlowRequest(name="chat", version=-1)))
    assert error.code == "INVALID_ARGUMENT"


async def test_a_valid_source_has_no_diagnostics(served):
    response = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=GOOD))
    assert list(response.diagnostics) == []
    assert (response.flow.name, response.flow.version, list(response.flow.states)) == ("greet", 3, ["hello"])


async def test_a_diagnostic_has_its_position_and_a_hint(served):
    response = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=BROKEN, file="greet.yaml"))
    assert not response.HasField("flow")
    (diagnostic,) = [each for each in response.diagnostics if each.severity == pb.Diagnostic.SEVERITY_ERROR]
    assert (diagnostic.file, diagnostic.line) == ("greet.yaml", 10)
    assert (
        BROKEN.splitlines()[9][diagnostic.column - 1 :].startswith("cuont") or "cuont" in diagnostic.message
    )
    assert diagnostic.code
    assert "count" in diagnostic.hint


@pytest.mark.parametrize("source", ["", "{", "\x00", "- a\n- b", "&a [*a]", "flow: [", "é: ï"])
async def test_any_source_that_is_not_a_flow_gets_a_diagnostic(served, source):
    response = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source))
    assert not response.HasField("flow")
    assert all(each.line >= 1 and each.column >= 1 and each.message for each in response.diagnostics)
    assert any(each.severity == pb.Diagnostic.SEVERITY_ERROR for each in response.diagnostics)


async def test_missing_tools_are_warnings(served):
    served.peers.tools.add("tables.find", {})
    source = (await served.flows.GetFlow(pb.GetFlowRequest(name="book_table"))).source
    response = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source))
    unknown = [each for each in response.diagnostics if each.code == "unknown-tool"]
    assert len(unknown) == 1
    assert "tables.reserve" in unknown[0].message
    assert unknown[0].severity == pb.Diagnostic.SEVERITY_WARNING


async def test_missing_models_are_warnings(served):
    served.peers.models = ["chat", "small"]
    source = (
        "flow: f\nversion: 1\nstates:\n"
        "  a: {generate: {instructions: i, model: small}, next: b}\n"
        "  b: {generate: {instructions: i, model: smal}, next: c}\n"
        "  c: {generate: {instructions: i, model: vendor/model}, next: d}\n"
        "  d: {end: true}\n"
    )
    response = await served.flows.ValidateFlow(pb.ValidateFlowRequest(source=source))
    (unknown,) = [each for each in response.diagnostics if each.code == "unknown-model"]
    assert (unknown.line, unknown.hint) == (5, 'Did you mean "small"?')
    deployed = await served.flows.DeployFlow(pb.DeployFlowRequest(source=source))
    assert "unknown-model" in {each.code for each in deployed.diagnostics}


async def test_a_source_over_the_limit_is_refused(served):
    error = await rpc_error(served.flows.ValidateFlow(pb.ValidateFlowRequest(source="x" * 20_001)))
    assert (error.code, error.violations[0].field) == ("INVALID_ARGUMENT", "source")
