"""Finds states that can never be entered."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.lint.analysis.control_flow import reachable
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.tree import document_path


def check_unreachable_states(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Warns of each."""
    # A person who asks for a human is taken to on_handoff from any state.
    starts = [flow.initial, flow.on_handoff] if flow.on_handoff else [flow.initial]
    seen = reachable(flow, starts)
    for name in flow.states:
        if name not in seen:
            message, hint = f'Nothing leads to the state "{name}".', "Add a transition to it, or remove it."
            mark = document.key_at(document_path(flow.states, name))
            diagnostics.warning("unreachable", message, mark, hint)
