"""`clawdbot flow test`: runs conversation tests, and measures what they cover."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.flow_toolkit import (
    ConversationResult,
    Coverage,
    Flow,
    FlowNotFound,
    InvalidConversationFile,
    SlotValidationError,
    measure_coverage,
    run_conversations,
)
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import SourceFile
from clawdbot_cli.flow.flow_resolution import FlowResolver, FlowResolvers
from clawdbot_cli.flow.gc_pause import gc_paused


@dataclass(frozen=True, slots=True)
class FileResult:
    """A test file, and the outcomes of its conversations."""

    file: str
    outcomes: Sequence[ConversationResult]
    error: str = ""
    """Why the file cannot be used; empty if it can."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """The result of `flow test`."""

    files: Sequence[FileResult]
    coverage: Sequence[Coverage]
    """Of each flow that a conversation tests."""
    seconds: float

    @property
    def outcomes(self) -> list[ConversationResult]:
        """The outcome of every conversation."""
        return [outcome for result in self.files for outcome in result.outcomes]

    @property
    def failed(self) -> int:
        """The number of conversations that failed."""
        return sum(bool(outcome.failures) for outcome in self.outcomes)

    @property
    def unusable(self) -> int:
        """The number of files that cannot be used."""
        return sum(bool(result.error) for result in self.files)

    def covers(self, percent: float) -> bool:
        """Whether at least this share of the states and of the transitions of every flow is covered."""
        return all(min(each.state_percent, each.edge_percent) >= percent for each in self.coverage)

    def exit_code(self, min_coverage: float = 0.0) -> int:
        """0: all passed, and enough percent are covered; 1: not so; 2: a file cannot be used."""
        if self.unusable:
            return 2
        return 1 if self.failed or not self.covers(min_coverage) else 0


def run_test_files(files: Iterable[SourceFile], name_filter: str = "") -> TestRun:
    """Runs the conversations in test files.

    Args:
        files: Test files, and flows that are not near them.
        name_filter: Only conversations whose names contain this are run.

    Raises:
        StartupError: there is no test file.
    """
    started = time.perf_counter()
    sources = list(files)
    tests = [source for source in sources if source.kind == "conversations"]
    if not tests:
        raise StartupError(
            "There are no conversation tests in these files: tests are *.test.yaml files, or YAML files with "
            "`conversations:`."
        )
    resolvers = FlowResolvers(sources)
    flows: dict[tuple[str, str], Flow] = {}
    results = []
    with gc_paused():
        for source in tests:
            result, tested = _run_file(source, resolvers.for_file(source), name_filter)
            results.append(result)
            flows |= {(flow.file, flow.name): flow for flow in tested}
        outcomes = [outcome for each in results for outcome in each.outcomes]
        covered = [measure_coverage(flow, outcomes) for flow in flows.values()]
    return TestRun(results, covered, time.perf_counter() - started)


def _run_file(source: SourceFile, flows: FlowResolver, name_filter: str) -> tuple[FileResult, list[Flow]]:
    try:
        outcomes = run_conversations(source.text, source.file, flows.get, name_filter)
    except InvalidConversationFile as error:
        lines = source.text.splitlines()
        diagnostics = "\n".join(each.render_with_lines(lines) for each in error.diagnostics)
        return FileResult(source.file, (), diagnostics), []
    except (FlowNotFound, SlotValidationError) as error:
        return FileResult(source.file, (), f"{source.file}: {error}"), []
    except StartupError as error:
        return FileResult(source.file, (), str(error)), []
    return FileResult(source.file, outcomes), list(_tested_flows(outcomes, flows))


def _tested_flows(outcomes: Iterable[ConversationResult], flows: FlowResolver) -> Iterator[Flow]:
    for name in dict.fromkeys(outcome.flow for outcome in outcomes):
        yield flows.get(name)
