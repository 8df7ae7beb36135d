"""Converts flows and diagnostics to wire messages. Sessions and turns are wire messages in the domain too."""

from __future__ import annotations

from typing import Final

from clawdbot.dialogue.v1 import flow_service_pb2 as wire

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.flow_check import FlowSummary
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.view import to_timestamp

SEVERITIES: Final = {
    "error": wire.Diagnostic.SEVERITY_ERROR,
    "warning": wire.Diagnostic.SEVERITY_WARNING,
}


def flow_to_wire(flow: Flow | FlowSummary, deploy_time: float | None = None) -> wire.Flow:
    """Converts a flow. `deploy_time` is in epoch seconds; None for a flow that was not deployed."""
    return wire.Flow(
        name=flow.name,
        version=flow.version,
        description=flow.description,
        states=flow.states,
        slots=flow.slots,
        deploy_time=None if deploy_time is None else to_timestamp(deploy_time),
    )


def diagnostic_to_wire(diagnostic: Diagnostic) -> wire.Diagnostic:
    """Converts a diagnostic."""
    return wire.Diagnostic(
        severity=SEVERITIES[diagnostic.severity],
        code=diagnostic.code,
        message=diagnostic.message,
        hint=diagnostic.hint,
        line=diagnostic.line,
        column=diagnostic.column,
        file=diagnostic.file,
    )
