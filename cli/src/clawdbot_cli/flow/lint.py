"""`clawdbot flow lint`: checks flows and conversation tests, and the names that they use of one another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.flow_toolkit import (
    Diagnostic,
    Flow,
    InvalidConversationFile,
    check_arguments,
    check_conversations,
    check_interrupts,
    check_references,
    load_conversations,
    validate_flow,
)

from clawdbot_cli.flow.available_tools import AvailableTools
from clawdbot_cli.flow.file_discovery import SourceFile
from clawdbot_cli.flow.flow_resolution import FlowResolver, FlowResolvers
from clawdbot_cli.flow.gc_pause import gc_paused


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file and its diagnostics."""

    source: SourceFile
    diagnostics: Sequence[Diagnostic]
    """In source order."""


@dataclass(frozen=True, slots=True)
class LintResult:
    """The result of `flow lint`."""

    files: Sequence[CheckedFile]
    seconds: float

    def count(self, severity: str) -> int:
        """The number of diagnostics of a severity."""
        return sum(each.severity == severity for file in self.files for each in file.diagnostics)


def lint_files(files: Iterable[SourceFile], tools: AvailableTools) -> LintResult:
    """Checks files, and what they name: flows in these files, near them and shipped, tools and models."""
    started = time.perf_counter()
    with gc_paused():
        sources = list(files)
        results = {
            source.file: validate_flow(source.content, source.file) for source in sources if _is_flow(source)
        }
        resolvers = FlowResolvers(sources)
        checked = []
        for source in sources:
            flows = resolvers.for_file(source)
            if source.file in results:
                result = results[source.file]
                more = _check_names(result.flow, flows, tools) if result.flow else ()
                checked.append(CheckedFile(source, _sorted([*result.diagnostics, *more])))
            else:
                checked.append(CheckedFile(source, _sorted(_check_tests(source, flows))))
    return LintResult(checked, time.perf_counter() - started)


def _is_flow(source: SourceFile) -> bool:
    # A file that is named and is neither gets the diagnostics of a flow.
    return source.kind != "conversations"


def _check_names(flow: Flow, flows: FlowResolver, available: AvailableTools) -> Iterator[Diagnostic]:
    """Diagnostics about the flows, tools and models that a flow names."""
    tools = None if available.tools is None else available.tools.keys()
    yield from check_references(flow, {*flows.names, flow.name}, tools, available.models)
    subflows = {state.subflow.flow for state in flow.states.values() if state.subflow}
    yield from check_interrupts(flow, flows.get_usable({*flow.interrupts.flows, *subflows}))
    if available.tools:
        schemas = {name: schema for name, schema in available.tools.items() if schema}
        yield from check_arguments(flow, schemas)


def _check_tests(source: SourceFile, flows: FlowResolver) -> Iterable[Diagnostic]:
    try:
        parsed, document = load_conversations(source.text, source.file)
    except InvalidConversationFile as error:
        return error.diagnostics
    return check_conversations(parsed, document, source.file, flows.get_usable, flows.names)


def _sorted(diagnostics: Iterable[Diagnostic]) -> Sequence[Diagnostic]:
    return sorted(set(diagnostics), key=lambda each: (each.line, each.column, each.severity, each.code))
