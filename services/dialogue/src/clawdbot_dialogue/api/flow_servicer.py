"""FlowService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from clawdbot.dialogue.v1 import flow_service_pb2 as wire
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceServicer
from clawdbot.dialogue.v1.session_pb2 import FlowFrame, Session
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.paging import page_bounds

from clawdbot_dialogue.api.convert import diagnostic_to_wire, flow_to_wire
from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.clients.graphviz import GraphvizRenderer
from clawdbot_dialogue.core.flow.diagrams.formats import draw
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow_admin import FlowAdmin
from clawdbot_dialogue.core.session_admin import SessionAdmin

MEDIA_TYPES: Final[Mapping[wire.DiagramFormat.ValueType, str]] = {
    wire.DIAGRAM_FORMAT_UNSPECIFIED: "text/vnd.mermaid",
    wire.DIAGRAM_FORMAT_MERMAID: "text/vnd.mermaid",
    wire.DIAGRAM_FORMAT_SVG: "image/svg+xml",
    wire.DIAGRAM_FORMAT_PNG: "image/png",
}
IMAGE_FORMATS: Final[Mapping[wire.DiagramFormat.ValueType, Literal["svg", "png"]]] = {
    wire.DIAGRAM_FORMAT_SVG: "svg",
    wire.DIAGRAM_FORMAT_PNG: "png",
}
"""The forms that Graphviz draws."""


class FlowServicer(FlowServiceServicer):
    """Shows, draws, checks and deploys flows."""

    def __init__(
        self, flows: FlowAdmin, sessions: SessionAdmin, intake: RequestValidator, renderer: GraphvizRenderer
    ) -> None:
        self._flows = flows
        self._sessions = sessions
        self._intake = intake
        self._renderer = renderer

    async def ListFlows(self, request: wire.ListFlowsRequest, context: Any) -> wire.ListFlowsResponse:
        """As the contract says."""
        known = await self._flows.newest()
        names, token = page_bounds(list(known), "flows", request.page_size, request.page_token)
        flows = [self._shown(known[name]) for name in names]
        return wire.ListFlowsResponse(flows=flows, next_page_token=token)

    async def GetFlow(self, request: wire.GetFlowRequest, context: Any) -> wire.GetFlowResponse:
        """As the contract says."""
        if request.version < 0:
            raise InvalidRequest.of("version", "must not be negative.")
        flow = await self._flows.get(request.name, request.version)
        return wire.GetFlowResponse(flow=self._shown(flow), source=flow.source)

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
        """As the contract says."""
        # The version and its source tell a retry; the id is only looked at.
        self._intake.request_id(request.request_id)
        found = await self._flows.deploy(self._intake.source(request.source))
        return wire.DeployFlowResponse(
            flow=self._shown(found.flow) if found.flow else None,
            diagnostics=map(diagnostic_to_wire, found.diagnostics),
        )

    async def RenderFlow(self, request: wire.RenderFlowRequest, context: Any) -> wire.RenderFlowResponse:
        """As the contract says."""
        if request.format not in MEDIA_TYPES:
            raise InvalidRequest.of("format", f"{request.format} is not one of the contract's values.")
        flow, states = await self._drawn(request)
        form = IMAGE_FORMATS.get(request.format)
        if form is None:
            data = draw(flow, "mermaid", states).encode()
        else:
            data = await self._renderer.render(draw(flow, "dot", states), form)
        return wire.RenderFlowResponse(data=data, media_type=MEDIA_TYPES[request.format])

    async def _drawn(self, request: wire.RenderFlowRequest) -> tuple[Flow, frozenset[str]]:
        """The flow to draw, and the states to highlight: of a session its own version."""
        if request.version < 0:
            raise InvalidRequest.of("version", "must not be negative.")
        if not request.session_id:
            return await self._flows.get(request.name, request.version), frozenset()
        session = await self._sessions.get(
            current_caller().tenant, self._intake.session_id(request.session_id)
        )
        place = _place(session, request.name or session.flow)
        if place is None:
            raise InvalidRequest.of("name", f"must be the session's flow, {session.flow}, or be left out.")
        if request.version not in (0, place.flow_version):
            raise InvalidRequest.of(
                "version", f"must be the session's, {place.flow_version}, or be left out."
            )
        return await self._flows.get(place.flow, place.flow_version), frozenset(place.states)

    def _shown(self, flow: Flow) -> wire.Flow:
        return flow_to_wire(flow, self._flows.time_of(flow))


def _place(session: Session, flow: str) -> FlowFrame | None:
    """Where in a flow a session is: in its own, or in one that was started or called from there."""
    alone = FlowFrame(
        flow=session.flow, flow_version=session.flow_version, states=session.states or [session.state]
    )
    return next((each for each in reversed(session.stack or [alone]) if each.flow == flow), None)
