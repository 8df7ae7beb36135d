"""Holds written conversations with the pure machine and says, line by line, where they went another way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources

from clawdbot_dialogue.core.flow.compile.states import seconds
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
from clawdbot_dialogue.flow_testing.step_result import Record
from clawdbot_dialogue.flow_testing.test_file import Conversation, StepGiven, load_conversations
from clawdbot_dialogue.flow_testing.tool_stubs import NoAnswer, Stubs
from clawdbot_dialogue.flow_testing.transition_coverage import Way, ways_taken


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that was not as expected."""

    line: int
    """Of the step, in the file."""
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one conversation went."""

    name: str
    file: str
    line: int
    failures: tuple[Failure, ...]
    flow: str = ""
    """The one that it is about."""
    entered: frozenset[tuple[str, str]] = frozenset()
    """(flow, state) of every state that was entered: what the conversation covers."""
    taken: frozenset[Way] = frozenset()
    """And every way between states that was gone."""
    seconds: float = 0.0
    """How long it took."""

    def render(self) -> str:
        """For a person: one line where it passed, else a line for each failure."""
        if not self.failures:
            return f"ok      {self.name}"
        lines = [f"{self.file}:{each.line}: {each.message}" for each in self.failures]
        return "\n  ".join([f"FAILED  {self.name}", *lines])


class _ScriptEnded(Exception):
    """The conversation cannot go on as its file has it; the text is a sentence."""


def run_conversations(source: str, file: str, flows: FlowLookup, only: str = "") -> list[Outcome]:
    """Holds every conversation of a file.

    Args:
        source: The file's YAML.
        file: The name to show in failures.
        flows: Finds the flows that they are about.
        only: Those whose names contain this.

    Raises:
        ConversationInvalid: the file cannot be read.
        FlowNotFound: there is no such flow.
        SlotInvalid: a conversation opens with values that do not fit.
    """
    parsed, document = load_conversations(source, file)
    outcomes = []
    for at, conversation in enumerate(parsed.conversations):
        if only not in conversation.name:
            continue
        flow = conversation.flow or parsed.flow
        now = conversation.now or parsed.now
        begun = time.perf_counter()
        runner = _Runner(conversation, flows, flow, now, conversation.locale or parsed.locale)
        failures = tuple(_failures(runner, conversation, document, at))
        line = document.at(("conversations", at)).line
        entered, taken = frozenset(runner.entered), frozenset(runner.taken)
        lasted = time.perf_counter() - begun
        outcomes.append(Outcome(conversation.name, file, line, failures, flow, entered, taken, lasted))
    return outcomes


def shipped_conversations() -> list[tuple[str, str]]:
    """The conversation files of the flows that come with the service, as (file name, source)."""
    folder = resources.files("clawdbot_dialogue").joinpath("flows", "conversations")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return [(file.name, file.read_text(encoding="utf-8")) for file in files]


def _failures(runner: _Runner, conversation: Conversation, document: Document, at: int) -> Iterator[Failure]:
    record = Record()
    for number, given in enumerate(conversation.steps):
        line = document.at(("conversations", at, "steps", number)).line
        try:
            if number == 0:
                record = runner.open()
            if given.happens:
                record = runner.take(given)
        except (NoAnswer, _ScriptEnded) as ended:
            yield Failure(line, str(ended))
            return
        if runner.proposals:
            yield Failure(line, "the model was to say what this means, and was not asked")
        for difference in differences(given.expect, record, runner.snapshot):
            yield Failure(line, difference)
    for unused in runner.unused():
        yield Failure(document.at(("conversations", at)).line, unused)


@dataclass(slots=True)
class _Runner:
    """One conversation under way."""

    conversation: Conversation
    flows: FlowLookup
    flow: str
    now: datetime
    locale: str
    snapshot: Snapshot = field(init=False)
    entered: set[tuple[str, str]] = field(default_factory=set)
    taken: set[Way] = field(default_factory=set)
    proposals: tuple[Proposal, ...] = ()
    """What the model is yet to make of what was said."""
    _timers: dict[str, datetime] = field(default_factory=dict)
    _tools: Stubs = field(init=False)
    _model: int = 0

    def __post_init__(self) -> None:
        flow = self.flows(self.flow)
        slots = validate_slots(flow, self.conversation.slots, self.now)
        self.snapshot = begin(flow, slots, self.locale)
        self._tools = Stubs(self.conversation.tools)

    def open(self) -> Record:
        """Starts the conversation."""
        return self._deliver(Started())

    def take(self, given: StepGiven) -> Record:
        """Lets the step happen."""
        self.proposals = tuple(Proposal(*each) for command in given.commands for each in command.items())
        if given.say is not None:
            return self._deliver(UserSaid(given.say, self.now))
        if given.event is not None:
            return self._deliver(EventReceived(given.event.name, given.event.data, self.now))
        if given.at is not None:
            return self._wait(self._until(given.at))
        return self._wait(self.now + timedelta(seconds=seconds(given.wait))) if given.wait else Record()

    def unused(self) -> Iterable[str]:
        """Answers that nothing asked for."""
        yield from self._tools.unused()
        if left := len(self.conversation.model) - self._model:
            yield f"the model was to be asked {left} more times"

    def _until(self, moment: datetime) -> datetime:
        # One that names no zone is in the conversation's.
        until = moment if moment.tzinfo else moment.replace(tzinfo=self.now.tzinfo)
        if (until.tzinfo is None) != (self.now.tzinfo is None) or until < self.now:
            raise _ScriptEnded(f"the clock cannot go from {self.now.isoformat()} to {until.isoformat()}")
        return until

    def _wait(self, until: datetime) -> Record:
        record = Record()
        while due := [each for each, moment in self._timers.items() if moment <= until]:
            timer_id = min(due, key=self._timers.__getitem__)
            self.now = self._timers.pop(timer_id)
            record.join(self._deliver(TimerFired(timer_id, self.now)))
        self.now = until
        return record

    def _deliver(self, event: Event) -> Record:
        record = Record()
        following: Event | None = event
        while following is not None:
            taken = step(self.flows, self.snapshot, following)
            self.taken.update(ways_taken(self.flows, taken.trace))
            self.snapshot = taken.snapshot
            record.add(taken.effects, taken.notes)
            self._keep_time(taken.effects)
            following = self._answer(taken.effects[-1], record) if taken.effects else None
        self.entered |= record.entered
        return record

    def _keep_time(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SetTimer):
                self._timers[effect.timer_id] = self.now + timedelta(seconds=effect.seconds)
            elif isinstance(effect, CancelTimer):
                self._timers.pop(effect.timer_id, None)

    def _answer(self, effect: Effect, record: Record) -> Event | None:
        """What the world gives back for the last effect of a step."""
        if isinstance(effect, CallTool):
            return self._tools.answer(effect)
        if isinstance(effect, Generate):
            return self._model_answer(effect, record)
        if isinstance(effect, Interpret):
            # Where the file has no commands, the model calls none, and what the rules understood stands.
            proposals, self.proposals = self.proposals, ()
            return Interpreted(effect.interpretation_id, proposals, effect.heard)
        return None

    def _model_answer(self, request: Generate, record: Record) -> Event:
        if self._model >= len(self.conversation.model):
            raise _ScriptEnded("the model is asked, and the file has no (more) answer from it")
        answer = self.conversation.model[self._model]
        self._model += 1
        if answer.error is not None:
            return GenerationFailed(request.generation_id, answer.error, "as the conversation says")
        record.replies.append(answer.text)
        return GenerationFinished(request.generation_id, answer.text)
