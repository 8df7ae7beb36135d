"""The diagnostics of a flow sent to ValidateFlow depend on the tools, models and flows that exist."""

from __future__ import annotations

import time

from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.plugins.v1.tool_service_pb2 import Tool
from clawdbot_dialogue.core.flow_admin import FlowAdmin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.turns.ports import ModelsUnknown, ToolRefused
from clawdbot_dialogue.stores.in_memory.session_store import InMemorySessionStore

from tests.support.flows import compiled, library

SOURCE = """flow: f
version: 1
states:
  a: {call: {tool: t, args: {n: many}}, next: [{on_error: any, to: b}, {to: b}]}
  b: {end: true}
"""


class Tools:
    """One tool, or a service that is unavailable."""

    def __init__(self, known: bool) -> None:
        self._known = known

    async def tools(self, names):
        if not self._known:
            raise ToolRefused("UNAVAILABLE", "gone")
        spec = ToolSpec(name="t")
        spec.input_schema.update({"properties": {"n": {"type": "integer"}}, "required": ["n"]})
        return {"t": Tool(spec=spec)} if "t" in names else {}


class Models:
    """One model, or a service that is unavailable."""

    def __init__(self, known: bool) -> None:
        self._known = known

    async def models(self):
        if not self._known:
            raise ModelsUnknown("UNAVAILABLE", "gone")
        return ["chat"]


async def reported(source, *flows, known=True):
    registry = library(*flows)
    deployments = Deployments(InMemorySessionStore(), registry, time.time)
    examined = await FlowAdmin(registry, Tools(known), Models(known), deployments).validate(source, "f.yaml")
    return [(each.code, each.line) for each in examined.diagnostics]


async def test_arguments_are_checked_against_the_schema_of_the_tool():
    assert await reported(SOURCE) == [("tool-argument", 4)]
    assert await reported(SOURCE.replace("many", "3")) == []


async def test_tools_are_not_checked_if_the_service_is_unavailable():
    assert await reported(SOURCE, known=False) == []


async def test_an_unknown_model_is_reported_unless_the_service_is_unavailable():
    states = "  a: {generate: {instructions: i, model: big}, next: b}\n  b: {end: true}\n"
    source = f"flow: f\nversion: 1\nstates:\n{states}"
    assert await reported(source) == [("unknown-model", 4)]
    assert await reported(source, known=False) == []
    assert await reported(source.replace("big", "chat")) == []


async def test_an_interrupt_by_a_flow_that_never_ends_is_reported():
    endless = compiled("states: {a: {say: x}}", "endless")
    source = SOURCE.replace("many", "3") + "interrupts: {allow: [endless]}\n"
    assert await reported(source, endless) == [("cannot-resume", 6)]
