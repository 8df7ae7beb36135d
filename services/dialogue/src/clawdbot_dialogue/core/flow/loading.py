"""The way from a source to a flow, and everything that was found on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from clawdbot_dialogue.core.flow.compiling import KINDS, FlowCompiler, Names
from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, Findings, FlowInvalid, nearest
from clawdbot_dialogue.core.flow.lint import lint
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.reading import Document, Path, read
from clawdbot_dialogue.core.flow.shape import fit

__all__ = ["Examination", "FlowInvalid", "check_references", "examine", "load_flow"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What came out of reading a source."""

    flow: Flow | None
    """None where there is an error."""
    diagnostics: tuple[Diagnostic, ...]
    """In source order."""


def examine(source: str, file: str) -> Examination:
    """Reads a flow's source and tells all that is wrong with it, never raising for it.

    Args:
        source: YAML.
        file: The name to show in diagnostics.
    """
    findings = Findings(file)
    document = read(source, findings)
    fitted = fit(document, findings) if document else None
    if document is None or fitted is None:
        return Examination(None, findings.sorted())
    flow = FlowCompiler(*fitted, _names(document), findings).compile(source, file)
    # With faulty parts left out, the rest would look unreachable or unfinished.
    if not findings.failed:
        lint(flow, fitted[0], document, findings)
    diagnostics = findings.sorted()
    if findings.failed:
        return Examination(None, diagnostics)
    return Examination(dataclasses.replace(flow, warnings=diagnostics), diagnostics)


def _names(document: Document) -> Names:
    data: Any = document.data
    slots, states = data.get("slots"), data.get("states")
    return Names(
        slots=frozenset(slots if isinstance(slots, dict) else ()),
        states={
            name: frozenset(state if isinstance(state, dict) else KINDS)
            for name, state in (states if isinstance(states, dict) else {}).items()
        },
    )


def load_flow(source: str, file: str) -> Flow:
    """A flow from its source; its warnings are in `Flow.warnings`.

    Args:
        source: YAML.
        file: The name to show in diagnostics.

    Raises:
        FlowInvalid: with every diagnostic.
    """
    examination = examine(source, file)
    if examination.flow is None:
        raise FlowInvalid(examination.diagnostics)
    return examination.flow


def check_references(
    flow: Flow, flows: Collection[str], tools: Collection[str] | None = None
) -> tuple[Diagnostic, ...]:
    """What a flow names that is not there, as warnings: flows and tools may be brought later.

    Args:
        flow: The flow.
        flows: The names of all flows.
        tools: The names of all tools, where they are known.
    """
    findings = Findings(flow.file)
    document = read(flow.source, findings)
    if document is None:  # cannot be: the flow was made from it
        return findings.sorted()
    data = document.data
    allow = data.get("interrupts", {}).get("allow", []) if isinstance(data, dict) else []
    for at, name in enumerate(allow):
        if name != "cancel" and name not in flows:
            mark, hint = document.at(("interrupts", "allow", at)), nearest(name, flows)
            findings.warning("unknown-flow", f'There is no flow "{name}".', mark, hint)
    for state in flow.states.values() if tools is not None else ():
        generation = state.generation.tools if state.generation else ()
        named: list[tuple[Path, str]] = [
            (("states", state.name, "generate", "tools", at), each) for at, each in enumerate(generation)
        ]
        if state.call:
            named.append((("states", state.name, "call", "tool"), state.call.tool))
        for path, tool in named:
            if tool not in (tools or ()):
                hint = nearest(tool, tools or ())
                findings.warning("unknown-tool", f'There is no tool "{tool}".', document.at(path), hint)
    return findings.sorted()
