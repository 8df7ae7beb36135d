"""From the domain's flows and diagnostics to the wire's messages; sessions and turns are the wire's own."""

from __future__ import annotations

from typing import Final

from clawdbot.dialogue.v1 import flow_service_pb2 as wire

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.sessions.view import to_timestamp

SEVERITIES: Final = {
    "error": wire.Diagnostic.SEVERITY_ERROR,
    "warning": wire.Diagnostic.SEVERITY_WARNING,
}


def flow_to_wire(flow: Flow, deploy_time: float | None = None) -> wire.Flow:
    """A flow as callers see it; the time in epoch seconds, None for one that was not deployed."""
    return wire.Flow(
        name=flow.name,
        version=flow.version,
        description=flow.description,
        states=flow.states,
        slots=flow.slots,
        deploy_time=None if deploy_time is None else to_timestamp(deploy_time),
    )


def diagnostic_to_wire(found: Diagnostic) -> wire.Diagnostic:
    """One finding."""
    return wire.Diagnostic(
        severity=SEVERITIES[found.severity],
        code=found.code,
        message=found.message,
        hint=found.hint,
        line=found.line,
        column=found.column,
        file=found.file,
    )
