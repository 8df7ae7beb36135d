"""Runs the conversations of a file on the pure machine, and reports each difference with its line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources

from clawdbot_servicekit.durations import duration_seconds

from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.slots.validation import validate_slots
from clawdbot_dialogue.core.machine.effects import (
    CallTool,
    CancelTimer,
    Effect,
    Generate,
    Interpret,
    SetTimer,
)
from clawdbot_dialogue.core.machine.events import (
    Event,
    EventReceived,
    GenerationFailed,
    GenerationFinished,
    Interpreted,
    Started,
    TimerFired,
    UserSaid,
)
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.machine.step import begin, step
from clawdbot_dialogue.core.understanding.llm_commands import Proposal
from clawdbot_dialogue.flow_testing.assertions import differences
from clawdbot_dialogue.flow_testing.step_result import ConversationStepResult
from clawdbot_dialogue.flow_testing.test_file import Conversation, Step, load_conversations
from clawdbot_dialogue.flow_testing.tool_stubs import NoMatchingStub, ToolStubs
from clawdbot_dialogue.flow_testing.transition_coverage import Edge, edges_taken


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that was not as expected."""

    line: int
    """The line of the step in the file."""
    message: str


@dataclass(frozen=True, slots=True)
class ConversationResult:
    """The result of one conversation."""

    name: str
    file: str
    line: int
    failures: tuple[Failure, ...]
    flow: str = ""
    """The flow that it tests."""
    entered: frozenset[tuple[str, str]] = frozenset()
    """(flow, state) of every state that was entered."""
    taken: frozenset[Edge] = frozenset()
    """Every edge that was taken."""
    seconds: float = 0.0
    """How long it took."""

    def render(self) -> str:
        """The result for a person: one line if it passed, else a line for each failure."""
        if not self.failures:
            return f"ok      {self.name}"
        lines = [f"{self.file}:{each.line}: {each.message}" for each in self.failures]
        return "\n  ".join([f"FAILED  {self.name}", *lines])


class _ConversationAborted(Exception):
    """The conversation cannot continue as its file says; the text is a sentence."""


def run_conversations(source: str, file: str, flows: FlowLookup, only: str = "") -> list[ConversationResult]:
    """Runs the conversations of a file.

    Args:
        source: The file's YAML.
        file: The name to show in failures.
        flows: Finds the flows that they test.
        only: Runs only those whose names contain this.

    Raises:
        InvalidConversationFile: the file is not valid.
        FlowNotFound: there is no such flow.
        SlotValidationError: a conversation starts with values that its flow does not accept.
    """
    parsed, document = load_conversations(source, file)
    results = []
    for index, conversation in enumerate(parsed.conversations):
        if only not in conversation.name:
            continue
        flow = conversation.flow or parsed.flow
        now = conversation.now or parsed.now
        started = time.perf_counter()
        runner = _Runner(conversation, flows, flow, now, conversation.locale or parsed.locale)
        failures = tuple(_run(runner, conversation, document, index))
        line = document.at(("conversations", index)).line
        entered, taken = frozenset(runner.entered), frozenset(runner.taken)
        elapsed = time.perf_counter() - started
        results.append(
            ConversationResult(conversation.name, file, line, failures, flow, entered, taken, elapsed)
        )
    return results


def shipped_conversations() -> list[tuple[str, str]]:
    """The conversation files of the flows that ship with the service, as (file name, source)."""
    folder = resources.files("clawdbot_dialogue").joinpath("flows", "conversations")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return [(file.name, file.read_text(encoding="utf-8")) for file in files]


def _run(runner: _Runner, conversation: Conversation, document: Document, index: int) -> Iterator[Failure]:
    result = ConversationStepResult()
    for number, given in enumerate(conversation.steps):
        line = document.at(("conversations", index, "steps", number)).line
        try:
            if number == 0:
                result = runner.start()
            if given.has_input:
                result = runner.run_step(given)
        except (NoMatchingStub, _ConversationAborted) as aborted:
            yield Failure(line, str(aborted))
            return
        if runner.proposals:
            yield Failure(line, "the step has `commands`, but the model was not asked about its message")
        for difference in differences(given.expect, result, runner.snapshot):
            yield Failure(line, difference)
    for unused in runner.unused():
        yield Failure(document.at(("conversations", index)).line, unused)


@dataclass(slots=True)
class _Runner:
    """A running conversation."""

    conversation: Conversation
    flows: FlowLookup
    flow: str
    now: datetime
    locale: str
    snapshot: Snapshot = field(init=False)
    entered: set[tuple[str, str]] = field(default_factory=set)
    taken: set[Edge] = field(default_factory=set)
    proposals: tuple[Proposal, ...] = ()
    """The commands that the model will propose when it is asked about the message."""
    _timers: dict[str, datetime] = field(default_factory=dict)
    _tools: ToolStubs = field(init=False)
    _model_calls: int = 0

    def __post_init__(self) -> None:
        flow = self.flows(self.flow)
        slots = validate_slots(flow, self.conversation.slots, self.now)
        self.snapshot = begin(flow, slots, self.locale)
        self._tools = ToolStubs(self.conversation.tools)

    def start(self) -> ConversationStepResult:
        """Starts the conversation."""
        return self._process(Started())

    def run_step(self, given: Step) -> ConversationStepResult:
        """Runs one step of the file."""
        self.proposals = tuple(Proposal(*each) for command in given.commands for each in command.items())
        if given.say is not None:
            return self._process(UserSaid(given.say, self.now))
        if given.event is not None:
            return self._process(EventReceived(given.event.name, given.event.data, self.now))
        if given.at is not None:
            return self._wait(self._until(given.at))
        if given.wait:
            return self._wait(self.now + timedelta(seconds=duration_seconds(given.wait)))
        return ConversationStepResult()

    def unused(self) -> Iterable[str]:
        """A sentence for each tool, and for the model, whose answers were not all used."""
        yield from self._tools.unused()
        if left := len(self.conversation.model) - self._model_calls:
            yield f"unused answers of the model: {left}"

    def _until(self, moment: datetime) -> datetime:
        # A time without a zone is in the conversation's zone.
        until = moment if moment.tzinfo else moment.replace(tzinfo=self.now.tzinfo)
        if (until.tzinfo is None) != (self.now.tzinfo is None) or until < self.now:
            now = self.now.isoformat()
            raise _ConversationAborted(f"the clock cannot go from {now} to {until.isoformat()}")
        return until

    def _wait(self, until: datetime) -> ConversationStepResult:
        result = ConversationStepResult()
        while due := [each for each, moment in self._timers.items() if moment <= until]:
            timer_id = min(due, key=self._timers.__getitem__)
            self.now = self._timers.pop(timer_id)
            result.extend(self._process(TimerFired(timer_id, self.now)))
        self.now = until
        return result

    def _process(self, event: Event) -> ConversationStepResult:
        result = ConversationStepResult()
        next_event: Event | None = event
        while next_event is not None:
            stepped = step(self.flows, self.snapshot, next_event)
            self.taken.update(edges_taken(self.flows, stepped.trace))
            self.snapshot = stepped.snapshot
            result.record(stepped.effects, stepped.notes)
            self._update_timers(stepped.effects)
            next_event = self._stubbed_event(stepped.effects[-1], result) if stepped.effects else None
        self.entered |= result.entered
        return result

    def _update_timers(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SetTimer):
                self._timers[effect.timer_id] = self.now + timedelta(seconds=effect.seconds)
            elif isinstance(effect, CancelTimer):
                self._timers.pop(effect.timer_id, None)

    def _stubbed_event(self, effect: Effect, result: ConversationStepResult) -> Event | None:
        """The event that answers the last effect of a step; None if it waits for the next step."""
        if isinstance(effect, CallTool):
            return self._tools.answer(effect)
        if isinstance(effect, Generate):
            return self._stubbed_generation(effect, result)
        if isinstance(effect, Interpret):
            # Without commands in the file the model proposes none, and those of the rules are kept.
            proposals, self.proposals = self.proposals, ()
            return Interpreted(effect.interpretation_id, proposals, effect.pending_message)
        return None

    def _stubbed_generation(self, request: Generate, result: ConversationStepResult) -> Event:
        if self._model_calls >= len(self.conversation.model):
            raise _ConversationAborted("the model was called, but the file has no answer left")
        stub = self.conversation.model[self._model_calls]
        self._model_calls += 1
        if stub.error is not None:
            return GenerationFailed(request.generation_id, stub.error, "error in the conversation file")
        result.replies.append(stub.text)
        return GenerationFinished(request.generation_id, stub.text)
