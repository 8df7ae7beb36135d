"""Finds interrupts after which the flow cannot go on as it says: across flows, those that never end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, Findings, Mark
from clawdbot_dialogue.core.flow.lint.control_flow import reachable
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path, read
from clawdbot_dialogue.core.flow.tree import written_at

_ASKING = frozenset({"collect"})
"""Kinds of state that have a question which can be asked again."""


def nothing_to_ask(flow: Flow, document: Document, findings: Findings) -> None:
    """Warns of `resume: reask` in a flow that asks nothing: after an interrupt it would be silent."""
    data: Any = document.data
    written = data.get("interrupts") or {}
    if "resume" not in written or written["resume"] != "reask" or not flow.interrupts.flows:
        return
    if not any(state.kind in _ASKING for state in flow.states.values()):
        mark = document.key_at(("interrupts", "resume"))
        message = "No state asks for anything, so there is nothing to ask again after an interrupt."
        findings.warning("cannot-resume", message, mark, "Collect a slot, or write `resume: silent`.")


def check_interrupts(flow: Flow, flows: Mapping[str, Flow]) -> tuple[Diagnostic, ...]:
    """Warns of flows that never end where they interrupt another or are called by it: it never goes on.

    Args:
        flow: May be interrupted, or calls others.
        flows: All flows, by name; what is not there is left alone.
    """
    endless = [(name, path) for name, path in _above(flow) if name in flows and not _ends(flows[name])]
    findings = Findings(flow.file)
    document = read(flow.source, findings) if endless else None
    if document is None:
        return findings.sorted()
    for name, path in endless:
        way = 'only "cancel" leads back here' if flows[name].interrupts.cancel else "nothing leads back here"
        hint = f"Give {name} a state with `end: true`, or remove it here."
        message = f'The flow "{name}" comes to no end: {way}.'
        findings.warning("cannot-resume", message, _mark(name, path, document), hint)
    return findings.sorted()


_ALLOW: Path = ("interrupts", "allow")


def _above(flow: Flow) -> Iterator[tuple[str, Path]]:
    """The flows that may run while this one waits, and where they are named."""
    yield from ((name, _ALLOW) for name in flow.interrupts.flows)
    for state in flow.states.values():
        if state.subflow:
            yield state.subflow.flow, (*written_at(flow.states, state.name), "subflow", "flow")


def _mark(name: str, path: Path, document: Document) -> Mark:
    data: Any = document.data
    return document.at((*_ALLOW, data["interrupts"]["allow"].index(name)) if path == _ALLOW else path)


def _ends(flow: Flow) -> bool:
    starts = [flow.initial, flow.on_handoff] if flow.on_handoff else [flow.initial]
    return any(flow.states[name].final for name in reachable(flow, starts))
