"""FlowService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from typing import Any

from clawdbot.dialogue.v1 import flow_service_pb2 as wire
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceServicer
from clawdbot_servicekit.faults import InvalidRequest, NotYet
from clawdbot_servicekit.paging import page_of

from clawdbot_dialogue.convert import diagnostic_to_wire, flow_to_wire
from clawdbot_dialogue.core.catalogue import FlowCatalogue
from clawdbot_dialogue.intake import Intake


class FlowServicer(FlowServiceServicer):
    """Shows flows and checks sources; changing them comes later."""

    def __init__(self, flows: FlowCatalogue, intake: Intake) -> None:
        self._flows = flows
        self._intake = intake

    async def ListFlows(self, request: wire.ListFlowsRequest, context: Any) -> wire.ListFlowsResponse:
        """As the contract says."""
        known = self._flows.newest()
        names, token = page_of(list(known), "flows", request.page_size, request.page_token)
        flows = [flow_to_wire(known[name]) for name in names]
        return wire.ListFlowsResponse(flows=flows, next_page_token=token)

    async def GetFlow(self, request: wire.GetFlowRequest, context: Any) -> wire.GetFlowResponse:
        """As the contract says."""
        if request.version < 0:
            raise InvalidRequest.of("version", "must not be negative.")
        flow = self._flows.get(request.name, request.version)
        return wire.GetFlowResponse(flow=flow_to_wire(flow), source=flow.source)

    async def ValidateFlow(
        self, request: wire.ValidateFlowRequest, context: Any
    ) -> wire.ValidateFlowResponse:
        """As the contract says."""
        source = self._intake.source(request.source)
        found = await self._flows.examine(source, request.file)
        return wire.ValidateFlowResponse(
            diagnostics=map(diagnostic_to_wire, found.diagnostics),
            flow=flow_to_wire(found.flow) if found.flow else None,
        )

    async def DeployFlow(self, request: wire.DeployFlowRequest, context: Any) -> wire.DeployFlowResponse:
        """Later."""
        raise NotYet("DeployFlow")

    async def RenderFlow(self, request: wire.RenderFlowRequest, context: Any) -> wire.RenderFlowResponse:
        """Later."""
        raise NotYet("RenderFlow")
