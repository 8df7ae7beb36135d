"""What callers do with flows: list, read, validate and deploy them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from clawdbot_servicekit.errors import FieldViolation
from google.protobuf.json_format import MessageToDict

from clawdbot_dialogue.core.errors import FlowRejected
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import ValidationResult, check_references, validate_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.turns.ports import ModelDirectory, ModelsUnknown, ToolBox, ToolRefused


class FlowAdmin:
    """Flows for callers, checked against the flows, tools and models that exist."""

    def __init__(
        self, flows: FlowRegistry, tools: ToolBox, models: ModelDirectory, deployments: Deployments
    ) -> None:
        self._flows = flows
        self._tools = tools
        self._models = models
        self._deployments = deployments

    async def newest(self) -> Mapping[str, Flow]:
        """Returns the newest version of every flow, sorted by name."""
        await self._deployments.refresh()
        return {flow.name: flow for flow in self._flows.list()}

    async def get(self, name: str, version: int) -> Flow:
        """Returns a flow; its newest version for 0. Raises UnknownFlow."""
        return await self._deployments.find(name, version)

    async def validate(self, source: str, file: str) -> ValidationResult:
        """Returns everything that is wrong with a source, including names of things that do not exist."""
        # Compiling takes milliseconds, for a hostile source more: not on the event loop.
        found = await asyncio.to_thread(validate_flow, source, file)
        if found.flow is None:
            return found
        schemas, models = await asyncio.gather(
            self._tool_schemas(sorted(tools_of(found.flow))), self._model_names(models_of(found.flow))
        )
        flows = {**await self.newest(), found.flow.name: found.flow}
        more = (
            *check_references(found.flow, flows, schemas, models),
            *check_interrupts(found.flow, flows),
            *check_arguments(found.flow, schemas or {}),
        )
        diagnostics = sorted(
            {*found.diagnostics, *more}, key=lambda each: (each.line, each.column, each.code)
        )
        return ValidationResult(found.flow, tuple(diagnostics))

    def deploy_time(self, flow: Flow) -> float | None:
        """Returns when a flow was deployed, in epoch seconds; None for a flow from a file."""
        return self._deployments.deploy_time(flow)

    async def deploy(self, source: str) -> ValidationResult:
        """Makes a flow live for new sessions; returns it with its warnings.

        Raises:
            FlowRejected: the source has errors.
            FlowExists: the version is deployed with another source.
            StoreUnavailable: nothing was deployed.
        """
        found = await self.validate(source, "source")
        if found.flow is None:
            raise FlowRejected([_violation(each) for each in found.diagnostics if each.severity == "error"])
        await self._deployments.deploy(found.flow)
        return found

    async def _tool_schemas(self, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]] | None:
        """The input schemas of the named tools that exist; None if the plugin service cannot be asked."""
        try:
            found = await self._tools.tools(names) if names else {}
        except ToolRefused:
            return None
        return {name: MessageToDict(tool.spec.input_schema) for name, tool in found.items()}

    async def _model_names(self, used: Collection[str]) -> Collection[str] | None:
        """The models that exist; None if the flow uses none, or the gateway cannot be asked."""
        try:
            return await self._models.models() if used else None
        except ModelsUnknown:
            return None


def _violation(found: Diagnostic) -> FieldViolation:
    description = f"{found.line}:{found.column}: {found.message} {found.hint}".rstrip()
    return FieldViolation("source", f"{description} [{found.code}]")


def tools_of(flow: Flow) -> set[str]:
    """Returns the names of all tools that a flow uses."""
    names = {tool for state in flow.states.values() for tool in state.tools}
    for state in flow.states.values():
        if state.generation is not None:
            names |= {*state.generation.tools}
        if state.call is not None:
            names.add(state.call.tool)
    return names


def models_of(flow: Flow) -> set[str]:
    """Returns the names of all models that a flow uses."""
    names = {state.model for state in flow.states.values()}
    names |= {state.generation.model for state in flow.states.values() if state.generation is not None}
    return names - {""}
