"""`clawdbot flow test`: holds conversation files, and works out what they cover."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.validation import SlotInvalid
from clawdbot_dialogue.flow_testing.coverage import Coverage, coverage
from clawdbot_dialogue.flow_testing.runner import Outcome, run_conversations
from clawdbot_dialogue.flow_testing.test_file import ConversationInvalid
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import Source
from clawdbot_cli.flow.flow_resolution import Flows, Neighbours
from clawdbot_cli.flow.gc_pause import uncollected


@dataclass(frozen=True, slots=True)
class Held:
    """A conversation file, and how its conversations went."""

    file: str
    outcomes: Sequence[Outcome]
    fault: str = ""
    """Why it cannot be held at all; empty where it can."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out."""

    files: Sequence[Held]
    coverage: Sequence[Coverage]
    """Of each flow that a conversation was about."""
    seconds: float

    @property
    def outcomes(self) -> list[Outcome]:
        """How every conversation went."""
        return [outcome for held in self.files for outcome in held.outcomes]

    @property
    def failed(self) -> int:
        """Conversations that went another way than they are written."""
        return sum(bool(outcome.failures) for outcome in self.outcomes)

    @property
    def faulty(self) -> int:
        """Files that cannot be held."""
        return sum(bool(held.fault) for held in self.files)

    def covers(self, percent: float) -> bool:
        """Whether of every flow so much of the states, and of the ways between them, was gone through."""
        return all(min(each.of_states, each.of_ways) >= percent for each in self.coverage)

    def exit_code(self, percent: float = 0.0) -> int:
        """0: all went as written, and so much is covered; 1: not so; 2: a file cannot be held."""
        if self.faulty:
            return 2
        return 1 if self.failed or not self.covers(percent) else 0


def hold(given: Iterable[Source], only: str = "") -> Trial:
    """Holds conversations with the flows that are near their files.

    Args:
        given: Conversation files, and flows that are not near them.
        only: Those whose names contain this.

    Raises:
        StartupError: nothing was given that holds conversations.
    """
    begun = time.perf_counter()
    sources = list(given)
    written = [source for source in sources if source.kind == "conversations"]
    if not written:
        raise StartupError("There are no conversations here: *.test.yaml, or YAML with `conversations:`.")
    neighbours = Neighbours(sources)
    flows: dict[tuple[str, str], Flow] = {}
    files = []
    with uncollected():
        for source in written:
            held, about = _held(source, neighbours.of(source), only)
            files.append(held)
            flows |= {(flow.file, flow.name): flow for flow in about}
        outcomes = [outcome for each in files for outcome in each.outcomes]
        covered = [coverage(flow, outcomes) for flow in flows.values()]
    return Trial(files, covered, time.perf_counter() - begun)


def _held(source: Source, flows: Flows, only: str) -> tuple[Held, list[Flow]]:
    try:
        outcomes = run_conversations(source.text, source.file, flows.get, only)
    except ConversationInvalid as error:
        lines = source.text.splitlines()
        return Held(source.file, (), "\n".join(each.beside(lines) for each in error.diagnostics)), []
    except (FlowNotFound, SlotInvalid) as error:
        return Held(source.file, (), f"{source.file}: {error}"), []
    except StartupError as error:
        return Held(source.file, (), str(error)), []
    return Held(source.file, outcomes), list(_about(outcomes, flows))


def _about(outcomes: Iterable[Outcome], flows: Flows) -> Iterator[Flow]:
    for name in dict.fromkeys(outcome.flow for outcome in outcomes):
        yield flows.get(name)
