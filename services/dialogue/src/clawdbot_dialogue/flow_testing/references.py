"""Checks the names in a conversation file against the flows that it tests, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from clawdbot_dialogue.core.flow.diagnostics import (
    Diagnostic,
    DiagnosticCollector,
    Mark,
    TooManyErrors,
    suggest,
)
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.flow_testing.test_file import Conversation, ConversationFile, Expectation


def check_conversations(
    parsed: ConversationFile,
    document: Document,
    file: str,
    flows: Callable[[Iterable[str]], Mapping[str, Flow]],
    names: Collection[str],
) -> tuple[Diagnostic, ...]:
    """Reports flows, states and slots that do not exist, as errors: such a conversation cannot pass.

    Args:
        parsed: The file.
        document: The file with its positions.
        file: The name to show.
        flows: Returns the flows of the given names that compile; leaves out the others.
        names: The names of all flows.
    """
    diagnostics = DiagnosticCollector(file)
    with suppress(TooManyErrors):
        if parsed.flow not in names:
            _report_unknown("flow", parsed.flow, names, document.at(("flow",)), diagnostics)
        for index, conversation in enumerate(parsed.conversations):
            path: Path = ("conversations", index)
            if conversation.flow and conversation.flow not in names:
                mark = document.at((*path, "flow"))
                _report_unknown("flow", conversation.flow, names, mark, diagnostics)
            reachable = _reachable_flows(conversation.flow or parsed.flow, flows)
            if reachable:
                _check_conversation(conversation, reachable, document, path, diagnostics)
    return diagnostics.sorted()


def _reachable_flows(name: str, flows: Callable[[Iterable[str]], Mapping[str, Flow]]) -> Mapping[str, Flow]:
    """A flow and those that a conversation in it may reach; empty if one of them is not available."""
    found: dict[str, Flow] = {}
    pending = {name}
    while pending:
        usable = flows(pending)
        if len(usable) < len(pending):
            return {}
        found |= usable
        pending = {each for flow in usable.values() for each in _called_flows(flow)} - found.keys()
    return found


def _called_flows(flow: Flow) -> Iterator[str]:
    yield from flow.interrupts.flows
    yield from (state.subflow.flow for state in flow.states.values() if state.subflow)


def _check_conversation(
    conversation: Conversation,
    flows: Mapping[str, Flow],
    document: Document,
    path: Path,
    diagnostics: DiagnosticCollector,
) -> None:
    states = {name for flow in flows.values() for name in flow.states}
    slots = {name for flow in flows.values() for name in flow.slots}
    for index, step in enumerate(conversation.steps):
        expect_path = (*path, "steps", index, "expect")
        for name, at in _expected_states(step.expect, expect_path):
            if name not in states:
                _report_unknown("state", name, states, document.at(at), diagnostics)
        for name in step.expect.slots:
            if name not in slots:
                mark = document.key_at((*expect_path, "slots", name))
                _report_unknown("slot", name, slots, mark, diagnostics)


def _expected_states(expected: Expectation, expect_path: Path) -> Iterator[tuple[str, Path]]:
    if expected.state is not None:
        yield expected.state, (*expect_path, "state")
    for index, name in enumerate(expected.path or ()):
        yield name, (*expect_path, "path", index)


_CODES: Mapping[str, str] = {"flow": "unknown-flow", "state": "unknown-state", "slot": "undeclared-slot"}


def _report_unknown(
    kind: str, name: str, known: Collection[str], mark: Mark, diagnostics: DiagnosticCollector
) -> None:
    diagnostics.error(_CODES[kind], f'There is no {kind} "{name}".', mark, suggest(name, known))
