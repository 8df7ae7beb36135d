"""What is told of a flow that is sent to be checked depends on the tools and flows that there are."""

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
    """One tool, or nobody who knows."""

    def __init__(self, known: bool) -> None:
        self._known = known

    async def tools(self, names):
        if not self._known:
            raise ToolRefused("UNAVAILABLE", "gone")
        spec = ToolSpec(name="t")
        spec.input_schema.update({"properties": {"n": {"type": "integer"}}, "required": ["n"]})
        return {"t": Tool(spec=spec)} if "t" in names else {}


class Models:
    """One model, or nobody who knows."""

    def __init__(self, known: bool) -> None:
        self._known = known

    async def models(self):
        if not self._known:
            raise ModelsUnknown("UNAVAILABLE", "gone")
        return ["chat"]


async def told(source, *flows, known=True):
    there = library(*flows)
    deployments = Deployments(InMemorySessionStore(), there, time.time)
    examined = await FlowAdmin(there, Tools(known), Models(known), deployments).examine(source, "f.yaml")
    return [(each.code, each.line) for each in examined.diagnostics]


async def test_arguments_are_held_to_the_schema_of_the_tool_that_is_there():
    assert await told(SOURCE) == [("tool-argument", 4)]
    assert await told(SOURCE.replace("many", "3")) == []


async def test_where_nobody_knows_the_tools_nothing_is_said_of_them():
    assert await told(SOURCE, known=False) == []


async def test_a_model_that_is_not_there_is_told_where_somebody_knows_the_models():
    states = "  a: {generate: {instructions: i, model: big}, next: b}\n  b: {end: true}\n"
    source = f"flow: f\nversion: 1\nstates:\n{states}"
    assert await told(source) == [("unknown-model", 4)]
    assert await told(source, known=False) == []
    assert await told(source.replace("big", "chat")) == []


async def test_an_interrupt_by_a_flow_without_an_end_is_told():
    endless = compiled("states: {a: {say: x}}", "endless")
    source = SOURCE.replace("many", "3") + "interrupts: {allow: [endless]}\n"
    assert await told(source, endless) == [("cannot-resume", 6)]
