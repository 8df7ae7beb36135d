"""FlowService on the wire: validates requests and delegates them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal

from clawdbot.dialogue.v1 import flow_service_pb2 as wire
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceServicer
from clawdbot.dialogue.v1.session_pb2 import FlowFrame, Session
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.daemon_thread import in_daemon_thread
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.pagination import page_bounds
from typing_extensions import override

from clawdbot_dialogue.api.convert import diagnostic_to_wire, flow_to_wire
from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.clients.graphviz import GraphvizRenderer
from clawdbot_dialogue.core.flow.diagrams.formats import DiagramFormat, render_diagram
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
"""The formats that Graphviz draws."""


class FlowServicer(FlowServiceServicer):
    """Flows and their diagrams."""

    def __init__(
        self,
        flows: FlowAdmin,
        sessions: SessionAdmin,
        validator: RequestValidator,
        renderer: GraphvizRenderer,
    ) -> None:
        self._flows = flows
        self._sessions = sessions
        self._validator = validator
        self._renderer = renderer

    @override
    async def ListFlows(self, request: wire.ListFlowsRequest, context: Any) -> wire.ListFlowsResponse:
        newest = await self._flows.newest()
        names, token = page_bounds(list(newest), "flows", request.page_size, request.page_token)
        flows = [self._to_wire(newest[name]) for name in names]
        return wire.ListFlowsResponse(flows=flows, next_page_token=token)

    @override
    async def GetFlow(self, request: wire.GetFlowRequest, context: Any) -> wire.GetFlowResponse:
        if request.version < 0:
            raise InvalidRequest.of("version", "must not be negative.")
        flow = await self._flows.get(request.name, request.version)
        return wire.GetFlowResponse(flow=self._to_wire(flow), source=flow.source)

    @override
    async def ValidateFlow(
        self, request: wire.ValidateFlowRequest, context: Any
    ) -> wire.ValidateFlowResponse:
        source = self._validator.source(request.source)
        found = await self._flows.validate(source, request.file)
        return wire.ValidateFlowResponse(
            diagnostics=map(diagnostic_to_wire, found.diagnostics),
            flow=flow_to_wire(found.flow) if found.flow else None,
        )

    @override
    async def DeployFlow(self, request: wire.DeployFlowRequest, context: Any) -> wire.DeployFlowResponse:
        # Version and source tell a retry; the request id is only validated.
        self._validator.request_id(request.request_id)
        flow, warnings = await self._flows.deploy(self._validator.source(request.source))
        return wire.DeployFlowResponse(
            flow=self._to_wire(flow), diagnostics=map(diagnostic_to_wire, warnings)
        )

    @override
    async def RenderFlow(self, request: wire.RenderFlowRequest, context: Any) -> wire.RenderFlowResponse:
        if request.format not in MEDIA_TYPES:
            raise InvalidRequest.of("format", f"{request.format} is not a value of DiagramFormat.")
        flow, states = await self._flow_to_render(request)
        image_format = IMAGE_FORMATS.get(request.format)
        if image_format is None:
            data = (await _diagram(flow, "mermaid", states)).encode()
        else:
            data = await self._renderer.render(await _diagram(flow, "dot", states), image_format)
        return wire.RenderFlowResponse(data=data, media_type=MEDIA_TYPES[request.format])

    async def _flow_to_render(self, request: wire.RenderFlowRequest) -> tuple[Flow, frozenset[str]]:
        """The flow, for a session in its own version, and the states to highlight."""
        if request.version < 0:
            raise InvalidRequest.of("version", "must not be negative.")
        if not request.session_id:
            return await self._flows.get(request.name, request.version), frozenset()
        session = await self._sessions.get(
            current_caller().tenant, self._validator.session_id(request.session_id)
        )
        frame = _frame(session, request.name or session.flow)
        if frame is None:
            raise InvalidRequest.of("name", f"must be the session's flow, {session.flow}, or empty.")
        if request.version not in (0, frame.flow_version):
            raise InvalidRequest.of("version", f"must be the session's, {frame.flow_version}, or 0.")
        return await self._flows.get(frame.flow, frame.flow_version), frozenset(frame.states)

    def _to_wire(self, flow: Flow) -> wire.Flow:
        return flow_to_wire(flow, self._flows.deploy_time(flow))


def _diagram(flow: Flow, diagram_format: DiagramFormat, states: frozenset[str]) -> asyncio.Future[str]:
    # 0.1 s for 10,000 states: not on the event loop.
    return in_daemon_thread(lambda: render_diagram(flow, diagram_format, states))


def _frame(session: Session, flow: str) -> FlowFrame | None:
    """The session's frame in a flow: its own one, or one that was started or called from it."""
    only_frame = FlowFrame(
        flow=session.flow, flow_version=session.flow_version, states=session.states or [session.state]
    )
    frames = session.stack or [only_frame]
    return next((frame for frame in reversed(frames) if frame.flow == flow), None)
