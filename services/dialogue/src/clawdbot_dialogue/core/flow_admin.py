"""What callers do with flows: list, read, validate and deploy them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from clawdbot_servicekit.daemon_thread import in_daemon_thread
from clawdbot_servicekit.errors import FieldViolation
from clawdbot_servicekit.limited_process import LimitedProcesses, LimitReached, Limits
from google.protobuf.json_format import MessageToDict

from clawdbot_dialogue.core.errors import FlowRejected, FlowTooCostly
from clawdbot_dialogue.core.flow import flow_check
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.flow_check import CheckedFlow, FlowCheck, Known, Names, Source
from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.lint.interrupts import endless_flows
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.turns.ports import ModelDirectory, ModelsUnknown, ToolBox, ToolRefused

MAX_INLINE_CHARACTERS: Final = 16 * 1024
"""Characters of a source that is checked in this process, four times the largest shipped flow. That one takes
10 ms; the worst case measured takes 0.35 s."""
CHECK_LIMITS: Final = Limits(seconds=10.0, memory=1024**3, processes=2)
"""Of the process that checks a larger source. It needs 0.5 s to start, and 3 s for 15,000 states."""


class FlowChecks:
    """Checks sources: small ones in a thread, all others in a process that can be killed."""

    def __init__(self) -> None:
        self._processes = LimitedProcesses(flow_check.__name__, CHECK_LIMITS)

    async def check(self, source: Source, know: Callable[[Names], Awaitable[Known]]) -> CheckedFlow:
        """Returns what is wrong with a source.

        Args:
            source: the source.
            know: tells what exists of the names in it.

        Raises:
            FlowTooCostly: it takes too much time or memory.
        """
        # Few characters stand for many values only by aliases.
        if len(source.text) <= MAX_INLINE_CHARACTERS and not ("*" in source.text and "&" in source.text):
            check = await in_daemon_thread(partial(FlowCheck, source))
            known = await know(check.names)
            return await in_daemon_thread(partial(check.result, known))
        try:
            async with self._processes.start() as process:
                names = msgspec.json.decode(await process.ask(msgspec.json.encode(source)), type=Names)
                known = await know(names)
                return msgspec.json.decode(await process.ask(msgspec.json.encode(known)), type=CheckedFlow)
        except LimitReached as error:
            raise FlowTooCostly(error.limit) from None


class FlowAdmin:
    """Flows for callers, checked against the flows, tools and models that exist."""

    def __init__(
        self, flows: FlowRegistry, tools: ToolBox, models: ModelDirectory, deployments: Deployments
    ) -> None:
        self._flows = flows
        self._tools = tools
        self._models = models
        self._deployments = deployments
        self._checks = FlowChecks()

    async def newest(self) -> Mapping[str, Flow]:
        """Returns the newest version of every flow, sorted by name."""
        await self._deployments.refresh()
        return {flow.name: flow for flow in self._flows.list()}

    async def get(self, name: str, version: int) -> Flow:
        """Returns a flow; its newest version for 0. Raises UnknownFlow."""
        return await self._deployments.find(name, version)

    async def validate(self, source: str, file: str) -> CheckedFlow:
        """Returns everything that is wrong with a source, including names of things that do not exist.

        Raises:
            FlowTooCostly: the check takes too much time or memory.
        """
        return await self._checks.check(Source(source, file), self._known)

    def deploy_time(self, flow: Flow) -> float | None:
        """Returns when a flow was deployed, in epoch seconds; None for a flow from a file."""
        return self._deployments.deploy_time(flow)

    async def deploy(self, source: str) -> tuple[Flow, tuple[Diagnostic, ...]]:
        """Makes a flow live for new sessions; returns it and its warnings.

        Raises:
            FlowRejected: the source has errors.
            FlowTooCostly: the check takes too much time or memory.
            FlowExists: the version is deployed with another source.
            StoreUnavailable: nothing was deployed.
        """
        found = await self.validate(source, "source")
        if found.flow is None:
            raise FlowRejected([_violation(each) for each in found.diagnostics if each.severity == "error"])
        flow = await self._deployments.deploy(found.flow.name, found.flow.version, source)
        return flow, found.diagnostics

    async def _known(self, names: Names) -> Known:
        schemas, models = await asyncio.gather(
            self._tool_schemas(names.tools), self._model_names(names.models)
        )
        flows = await self.newest()
        # A walk through each of these flows: not on the event loop.
        endless = await in_daemon_thread(partial(endless_flows, flows, names.flows)) if names.flows else {}
        return Known(tuple(flows), endless, schemas, models)

    async def _tool_schemas(self, names: Sequence[str]) -> dict[str, dict[str, Any]] | None:
        """The input schemas of the named tools that exist; None if the plugin service cannot be asked."""
        try:
            found = await self._tools.tools(names) if names else {}
        except ToolRefused:
            return None
        return {name: MessageToDict(tool.spec.input_schema) for name, tool in found.items()}

    async def _model_names(self, used: Collection[str]) -> tuple[str, ...] | None:
        """The models that exist; None if the flow uses none, or the gateway cannot be asked."""
        try:
            return tuple(await self._models.models()) if used else None
        except ModelsUnknown:
            return None


def _violation(found: Diagnostic) -> FieldViolation:
    description = f"{found.line}:{found.column}: {found.message} {found.hint}".rstrip()
    return FieldViolation("source", f"{description} [{found.code}]")
