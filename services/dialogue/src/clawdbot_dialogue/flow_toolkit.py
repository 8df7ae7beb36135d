"""The authoring tools' view of the dialogue: load, lint, test and draw flows.

The `clawdbot` command uses this module, the settings, the wiring and the build information of the dialogue,
and nothing else of it. Importing it takes half a second, so commands that need no flow do not.
"""

from __future__ import annotations

from clawdbot_dialogue.clients.graphviz import GraphvizRenderer, RendererFailed, RendererMissing
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, InvalidFlowError
from clawdbot_dialogue.core.flow.diagrams.formats import render_diagram
from clawdbot_dialogue.core.flow.flow_registry import (
    FlowNotFound,
    FlowRegistry,
    FlowVersionExists,
    shipped_flows,
)
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import check_references, load_flow, validate_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.json_schema import flow_schema
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError
from clawdbot_dialogue.core.language.language_registry import installed_languages
from clawdbot_dialogue.flow_testing.coverage import Coverage, Uncovered, measure_coverage
from clawdbot_dialogue.flow_testing.references import check_conversations
from clawdbot_dialogue.flow_testing.runner import ConversationResult, run_conversations
from clawdbot_dialogue.flow_testing.test_file import InvalidConversationFile, load_conversations

__all__ = [
    "ConversationResult",
    "Coverage",
    "Diagnostic",
    "Flow",
    "FlowNotFound",
    "FlowRegistry",
    "FlowVersionExists",
    "GraphvizRenderer",
    "InvalidConversationFile",
    "InvalidFlowError",
    "RendererFailed",
    "RendererMissing",
    "SlotValidationError",
    "Uncovered",
    "check_arguments",
    "check_conversations",
    "check_interrupts",
    "check_references",
    "flow_schema",
    "installed_languages",
    "load_conversations",
    "load_flow",
    "measure_coverage",
    "render_diagram",
    "run_conversations",
    "shipped_flows",
    "validate_flow",
]
