"""Finds interrupts after which the flow cannot continue as declared; across flows, those that never end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, DiagnosticCollector, Mark
from clawdbot_dialogue.core.flow.lint.analysis.control_flow import reachable
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path, parse_yaml
from clawdbot_dialogue.core.flow.tree import document_path

_ASKING_KINDS = frozenset({"collect"})
"""Kinds of state with a question that can be asked again."""


def check_reask(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Warns of `resume: reask` in a flow that asks nothing: after an interrupt it would be silent."""
    data: Any = document.data
    declared = data.get("interrupts") or {}
    if "resume" not in declared or declared["resume"] != "reask" or not flow.interrupts.flows:
        return
    if not any(state.kind in _ASKING_KINDS for state in flow.states.values()):
        mark = document.key_at(("interrupts", "resume"))
        message = "No state asks for anything, so there is nothing to ask again after an interrupt."
        diagnostics.warning("cannot-resume", message, mark, "Collect a slot, or write `resume: silent`.")


def check_interrupts(flow: Flow, flows: Mapping[str, Flow]) -> tuple[Diagnostic, ...]:
    """Warns of flows that never end, if this one names them as an interrupt or subflow: it never continues.

    Args:
        flow: May be interrupted, or calls others.
        flows: All flows, by name; a flow that does not exist is ignored.
    """
    return warn_of_endless_flows(flow, endless_flows(flows, {name for name, _ in _called_flows(flow)}))


def endless_flows(flows: Mapping[str, Flow], names: Iterable[str]) -> dict[str, bool]:
    """Which of the named flows never end; for each, whether "cancel" leads back from it."""
    return {
        name: flows[name].interrupts.cancel for name in names if name in flows and not _can_end(flows[name])
    }


def warn_of_endless_flows(flow: Flow, endless: Mapping[str, bool]) -> tuple[Diagnostic, ...]:
    """Warns of the endless flows that this one names."""
    found = [(name, path) for name, path in _called_flows(flow) if name in endless]
    diagnostics = DiagnosticCollector(flow.file)
    document = parse_yaml(flow.source, diagnostics) if found else None
    if document is None:
        return diagnostics.sorted()
    for name, path in found:
        return_path = 'only "cancel" leads back here' if endless[name] else "nothing leads back here"
        hint = f"Give {name} a state with `end: true`, or remove it here."
        message = f'The flow "{name}" never ends: {return_path}.'
        diagnostics.warning("cannot-resume", message, _mark(name, path, document), hint)
    return diagnostics.sorted()


_ALLOW: Path = ("interrupts", "allow")


def _called_flows(flow: Flow) -> Iterator[tuple[str, Path]]:
    """The flows that may run while this one waits, and where they are named."""
    yield from ((name, _ALLOW) for name in flow.interrupts.flows)
    for state in flow.states.values():
        if state.subflow:
            yield state.subflow.flow, (*document_path(flow.states, state.name), "subflow", "flow")


def _mark(name: str, path: Path, document: Document) -> Mark:
    data: Any = document.data
    return document.at((*_ALLOW, data["interrupts"]["allow"].index(name)) if path == _ALLOW else path)


def _can_end(flow: Flow) -> bool:
    starts = [flow.initial, flow.on_handoff] if flow.on_handoff else [flow.initial]
    return any(flow.states[name].final for name in reachable(flow, starts))
