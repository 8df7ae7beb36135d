"""Flows for callers: listed, shown, and checked against the flows, tools and models that there are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from clawdbot_servicekit.errors import FieldViolation
from google.protobuf.json_format import MessageToDict

from clawdbot_dialogue.core.errors import FlowRejected
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary, FlowNotFound
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import Examination, check_references, examine
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.session_admin import flow_unknown
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.turns.ports import ModelDirectory, ModelsUnknown, ToolBox, ToolRefused


class FlowAdmin:
    """What callers may know of flows."""

    def __init__(
        self, flows: FlowLibrary, tools: ToolBox, models: ModelDirectory, deployments: Deployments
    ) -> None:
        self._flows = flows
        self._tools = tools
        self._models = models
        self._deployments = deployments

    async def newest(self) -> Mapping[str, Flow]:
        """The newest version of every flow, in the order of names."""
        await self._deployments.refresh()
        return {flow.name: flow for flow in self._flows.list()}

    async def get(self, name: str, version: int) -> Flow:
        """A flow, the newest version for 0. FlowUnknown where there is none."""
        await self._deployments.refresh()
        try:
            return self._flows.get(name, version or None)
        except FlowNotFound as missing:
            raise flow_unknown(missing, self._flows) from None

    async def examine(self, source: str, file: str) -> Examination:
        """All that is wrong with a source, what it names that is not there included."""
        # Compiling takes milliseconds, for a hostile source more: not on the loop.
        found = await asyncio.to_thread(examine, source, file)
        if found.flow is None:
            return found
        schemas, models = await asyncio.gather(
            self._schemas(sorted(tools_of(found.flow))), self._aliases(models_of(found.flow))
        )
        flows = {**await self.newest(), found.flow.name: found.flow}
        more = (
            *check_references(found.flow, flows, schemas, models),
            *check_interrupts(found.flow, flows),
            *check_arguments(found.flow, schemas or {}),
        )
        told = sorted({*found.diagnostics, *more}, key=lambda each: (each.line, each.column, each.code))
        return Examination(found.flow, tuple(told))

    def time_of(self, flow: Flow) -> float | None:
        """When a flow was deployed, in epoch seconds; None for one from a file."""
        return self._deployments.time_of(flow)

    async def deploy(self, source: str) -> Examination:
        """Makes a flow live for new sessions; returns it with its warnings.

        Raises:
            FlowRejected: the source is no usable flow.
            FlowExists: the version is there with another source.
            StoreUnavailable: nothing was deployed.
        """
        found = await self.examine(source, "source")
        if found.flow is None:
            raise FlowRejected([_violation(each) for each in found.diagnostics if each.severity == "error"])
        await self._deployments.deploy(found.flow)
        return found

    async def _schemas(self, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]] | None:
        """Those of the tools that there are, with their schemas; None where that cannot be learnt."""
        try:
            found = await self._tools.tools(names) if names else {}
        except ToolRefused:
            return None
        return {name: MessageToDict(tool.spec.input_schema) for name, tool in found.items()}

    async def _aliases(self, names: Collection[str]) -> Collection[str] | None:
        """The models that there are; None where that cannot be learnt, or nobody wants to know."""
        try:
            return await self._models.models() if names else None
        except ModelsUnknown:
            return None


def _violation(found: Diagnostic) -> FieldViolation:
    said = f"{found.line}:{found.column}: {found.message} {found.hint}".rstrip()
    return FieldViolation("source", f"{said} [{found.code}]")


def tools_of(flow: Flow) -> set[str]:
    """Every tool that a flow names."""
    named = {tool for state in flow.states.values() for tool in state.tools}
    for state in flow.states.values():
        if state.generation is not None:
            named |= {*state.generation.tools}
        if state.call is not None:
            named.add(state.call.tool)
    return named


def models_of(flow: Flow) -> set[str]:
    """Every model that a flow names."""
    named = {state.model for state in flow.states.values()}
    named |= {state.generation.model for state in flow.states.values() if state.generation is not None}
    return named - {""}
