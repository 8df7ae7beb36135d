"""The authoring tools' view of the dialogue: load, lint, test and draw flows.

The `clawdbot` command uses this module, the settings, the wiring and the build information of the dialogue, and
nothing else of it. Importing it takes half a second: commands that need no flow do without.
"""

from __future__ import annotations

from clawdbot_dialogue.clients.graphviz import GraphvizRenderer, RendererBroken, RendererMissing
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, FlowInvalid
from clawdbot_dialogue.core.flow.diagrams.formats import draw
from clawdbot_dialogue.core.flow.flow_registry import (
    FlowLibrary,
    FlowNotFound,
    FlowVersionExists,
    shipped_flows,
)
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import check_references, examine, load_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.json_schema import published_schema
from clawdbot_dialogue.core.flow.slots.validation import SlotInvalid
from clawdbot_dialogue.core.language.language_pack import LOCALES
from clawdbot_dialogue.flow_testing.coverage import Coverage, Missing, coverage
from clawdbot_dialogue.flow_testing.references import check_conversations
from clawdbot_dialogue.flow_testing.runner import Outcome, run_conversations
from clawdbot_dialogue.flow_testing.test_file import ConversationInvalid, load_conversations

__all__ = [
    "LOCALES",
    "ConversationInvalid",
    "Coverage",
    "Diagnostic",
    "Flow",
    "FlowInvalid",
    "FlowLibrary",
    "FlowNotFound",
    "FlowVersionExists",
    "GraphvizRenderer",
    "Missing",
    "Outcome",
    "RendererBroken",
    "RendererMissing",
    "SlotInvalid",
    "check_arguments",
    "check_conversations",
    "check_interrupts",
    "check_references",
    "coverage",
    "draw",
    "examine",
    "load_conversations",
    "load_flow",
    "published_schema",
    "run_conversations",
    "shipped_flows",
]
