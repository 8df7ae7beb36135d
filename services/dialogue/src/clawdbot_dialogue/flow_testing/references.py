"""Holds the names in a conversation file to the flows that it is about, before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic, Findings, Mark, TooManyErrors, nearest
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
    """Flows, states and slots that there are not, as errors: such a conversation cannot pass.

    Args:
        parsed: The file.
        document: The same, with its places.
        file: The name to show.
        flows: Gives those of some flows that can be used; one that cannot is left alone.
        names: The names of all flows.
    """
    findings = Findings(file)
    with suppress(TooManyErrors):
        if parsed.flow not in names:
            _missing("flow", parsed.flow, names, document.at(("flow",)), findings)
        for at, conversation in enumerate(parsed.conversations):
            path: Path = ("conversations", at)
            if conversation.flow and conversation.flow not in names:
                mark = document.at((*path, "flow"))
                _missing("flow", conversation.flow, names, mark, findings)
            about = _reached(conversation.flow or parsed.flow, flows)
            if about:
                _conversation(conversation, about, document, path, findings)
    return findings.sorted()


def _reached(name: str, flows: Callable[[Iterable[str]], Mapping[str, Flow]]) -> Mapping[str, Flow]:
    """A flow and those that a conversation in it may come to; empty where not all of them are known."""
    found: dict[str, Flow] = {}
    waiting = {name}
    while waiting:
        usable = flows(waiting)
        if len(usable) < len(waiting):
            return {}
        found |= usable
        waiting = {each for flow in usable.values() for each in _calls(flow)} - found.keys()
    return found


def _calls(flow: Flow) -> Iterator[str]:
    yield from flow.interrupts.flows
    yield from (state.subflow.flow for state in flow.states.values() if state.subflow)


def _conversation(
    conversation: Conversation, flows: Mapping[str, Flow], document: Document, path: Path, findings: Findings
) -> None:
    states = {name for flow in flows.values() for name in flow.states}
    slots = {name for flow in flows.values() for name in flow.slots}
    for number, step in enumerate(conversation.steps):
        place = (*path, "steps", number, "expect")
        for name, at in _states(step.expect, place):
            if name not in states:
                _missing("state", name, states, document.at(at), findings)
        for name in step.expect.slots:
            if name not in slots:
                mark = document.key_at((*place, "slots", name))
                _missing("slot", name, slots, mark, findings)


def _states(expected: Expectation, place: Path) -> Iterator[tuple[str, Path]]:
    if expected.state is not None:
        yield expected.state, (*place, "state")
    for at, name in enumerate(expected.path or ()):
        yield name, (*place, "path", at)


_CODES: Mapping[str, str] = {"flow": "unknown-flow", "state": "unknown-state", "slot": "undeclared-slot"}


def _missing(kind: str, name: str, known: Collection[str], mark: Mark, findings: Findings) -> None:
    findings.error(_CODES[kind], f'There is no {kind} "{name}".', mark, nearest(name, known))
