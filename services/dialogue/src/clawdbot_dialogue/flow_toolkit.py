"""The authoring tools' view of the dialogue: load, lint, test and draw flows.

The `clawdbot` command uses this module, the settings and the wiring of the dialogue, and nothing else of it.
Each name is imported from its own module on first use (PEP 562), so a command loads only what it needs:
`clawdbot version` loads no flow code, `clawdbot flow lint` neither Graphviz nor the test runner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawdbot_dialogue.build_info import core_is_compiled
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
    "core_is_compiled",
    "coverage",
    "draw",
    "examine",
    "load_conversations",
    "load_flow",
    "published_schema",
    "run_conversations",
    "shipped_flows",
]

_EXPORTS: Final = {
    # Load.
    "core.flow.flow_registry": ("FlowLibrary", "FlowNotFound", "FlowVersionExists", "shipped_flows"),
    "core.flow.loader": ("check_references", "examine", "load_flow"),
    "core.flow.model": ("Flow",),
    "core.flow.parse.json_schema": ("published_schema",),
    "core.language.language_pack": ("LOCALES",),
    # Lint.
    "core.flow.diagnostics": ("Diagnostic", "FlowInvalid"),
    "core.flow.lint.interrupts": ("check_interrupts",),
    "core.flow.lint.tool_arguments": ("check_arguments",),
    "flow_testing.references": ("check_conversations",),
    # Test.
    "core.flow.slots.validation": ("SlotInvalid",),
    "flow_testing.coverage": ("Coverage", "Missing", "coverage"),
    "flow_testing.runner": ("Outcome", "run_conversations"),
    "flow_testing.test_file": ("ConversationInvalid", "load_conversations"),
    # Draw.
    "clients.graphviz": ("GraphvizRenderer", "RendererBroken", "RendererMissing"),
    "core.flow.diagrams.formats": ("draw",),
    # About this installation.
    "build_info": ("core_is_compiled",),
}
"""Module of this package → its names in `__all__`. The imports above are the same, for type checkers."""

_MODULES: Final = {name: module for module, names in _EXPORTS.items() for name in names}

# Hidden from type checkers, so that they refuse a name which is not imported above.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Imports the name from its module, once."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"clawdbot_dialogue.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
