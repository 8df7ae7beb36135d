"""Runs the checks that need only the flow itself.

check_references, check_interrupts and check_arguments need other flows, tools or models too.
"""

from __future__ import annotations

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.lint.impossible_values import check_impossible_values
from clawdbot_dialogue.core.flow.lint.interrupts import check_reask
from clawdbot_dialogue.core.flow.lint.loops import check_loops
from clawdbot_dialogue.core.flow.lint.missing_questions import check_missing_questions
from clawdbot_dialogue.core.flow.lint.missing_transitions import check_missing_transitions
from clawdbot_dialogue.core.flow.lint.unreachable_states import check_unreachable_states
from clawdbot_dialogue.core.flow.lint.unreachable_transitions import check_unreachable_transitions
from clawdbot_dialogue.core.flow.lint.unset_reads import check_unset_reads
from clawdbot_dialogue.core.flow.lint.unused_slots import check_unused_slots
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.tree import document_path


def lint(flow: Flow, source: FlowSource, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Checks a flow that compiles, and adds what is found to `diagnostics`."""
    check_unreachable_states(flow, document, diagnostics)
    for name, state in flow.states.items():
        path = document_path(flow.states, name)
        check_missing_transitions(state, path, document, diagnostics)
        check_unreachable_transitions(state, path, document, diagnostics)
    check_missing_questions(flow, source, document, diagnostics)
    check_unset_reads(flow, document, diagnostics)
    check_unused_slots(flow, document, diagnostics)
    check_impossible_values(flow, document, diagnostics)
    check_loops(flow, document, diagnostics)
    check_reask(flow, document, diagnostics)
