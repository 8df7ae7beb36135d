"""`clawdbot flow lint`: checks flows and conversation files, and what they name of one another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import check_references, examine
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.flow_testing.references import check_conversations
from clawdbot_dialogue.flow_testing.test_file import ConversationInvalid, load_conversations

from clawdbot_cli.flow.available_tools import Known
from clawdbot_cli.flow.file_discovery import Source
from clawdbot_cli.flow.flow_resolution import Flows, Neighbours
from clawdbot_cli.flow.gc_pause import uncollected


@dataclass(frozen=True, slots=True)
class Checked:
    """A file, and what was found on it."""

    source: Source
    diagnostics: Sequence[Diagnostic]
    """In source order."""


@dataclass(frozen=True, slots=True)
class Lint:
    """What came out."""

    files: Sequence[Checked]
    seconds: float

    def count(self, severity: str) -> int:
        """How many findings there are of a severity."""
        return sum(found.severity == severity for each in self.files for found in each.diagnostics)


def lint(given: Iterable[Source], known: Known) -> Lint:
    """Checks sources, each against the others, the flows beside it and those that ship."""
    begun = time.perf_counter()
    with uncollected():
        sources = list(given)
        found = {source.file: examine(source.content, source.file) for source in sources if _is_flow(source)}
        neighbours = Neighbours(sources)
        files = []
        for source in sources:
            flows = neighbours.of(source)
            if source.file in found:
                examined = found[source.file]
                more = _named(examined.flow, flows, known) if examined.flow else ()
                files.append(Checked(source, _sorted([*examined.diagnostics, *more])))
            else:
                files.append(Checked(source, _sorted(_conversations(source, flows))))
    return Lint(files, time.perf_counter() - begun)


def _is_flow(source: Source) -> bool:
    # What was named and is neither is told what a flow is.
    return source.kind != "conversations"


def _named(flow: Flow, flows: Flows, known: Known) -> Iterator[Diagnostic]:
    """What is wrong with what a flow names: flows, tools, models."""
    tools = None if known.tools is None else known.tools.keys()
    yield from check_references(flow, {*flows.names, flow.name}, tools, known.models)
    called = {state.subflow.flow for state in flow.states.values() if state.subflow}
    yield from check_interrupts(flow, flows.usable({*flow.interrupts.flows, *called}))
    if known.tools:
        yield from check_arguments(flow, {name: schema for name, schema in known.tools.items() if schema})


def _conversations(source: Source, flows: Flows) -> Iterable[Diagnostic]:
    try:
        parsed, document = load_conversations(source.text, source.file)
    except ConversationInvalid as error:
        return error.diagnostics
    return check_conversations(parsed, document, source.file, flows.usable, flows.names)


def _sorted(found: Iterable[Diagnostic]) -> Sequence[Diagnostic]:
    return sorted(set(found), key=lambda each: (each.line, each.column, each.severity, each.code))
