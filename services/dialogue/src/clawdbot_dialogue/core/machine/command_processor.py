"""What a person's message does: commands are accepted or refused, and the machine goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import SlotRefused, root_of
from clawdbot_dialogue.core.flow.slots.validation import refusal
from clawdbot_dialogue.core.language.normalization import fold
from clawdbot_dialogue.core.machine import slot_filling
from clawdbot_dialogue.core.machine.effects import Heard, Understood
from clawdbot_dialogue.core.machine.interpreter import end, pass_through, run
from clawdbot_dialogue.core.machine.llm_fallback import INTERPRETATION, ask_model, offered, wants_model
from clawdbot_dialogue.core.machine.state_behaviors import generate
from clawdbot_dialogue.core.machine.step_context import DEEPEST_STACK, Progress
from clawdbot_dialogue.core.machine.transitions import Way, go, restart, start, take, turn_aside
from clawdbot_dialogue.core.understanding.commands import Command, CommandName
from clawdbot_dialogue.core.understanding.context import Situation
from clawdbot_dialogue.core.understanding.llm_commands import Proposal, judged
from clawdbot_dialogue.core.understanding.rule_commands import fill, set_phrase, understand


def hear(progress: Progress, text: str, now: datetime, limit: int) -> None:
    """Understands a message where the conversation stands, and acts on it; or wants a model's help first."""
    progress.follow(text)
    hearing = _Hearing(progress, text, now, limit)
    before = len(progress.effects)
    hearing.run()
    if not progress.here.waiting_for.startswith(INTERPRETATION):
        progress.effects.insert(before, Understood(tuple(hearing.commands)))


def heard(progress: Progress, message: Heard, proposals: Sequence[Proposal], limit: int) -> None:
    """Acts on a message that a model has looked at; on what the rules understood where it proposed nothing.

    Args:
        progress: Turned to where the message was heard.
        message: The message.
        proposals: What the model makes of it.
        limit: Micro-steps.
    """
    hearing = _Hearing(progress, message.text, message.now, limit)
    before = len(progress.effects)
    hearing.go_on_with(proposals, waking=message.woke)
    progress.effects.insert(before, Understood(tuple(hearing.commands)))


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far back a correction goes: the flow runs forward from there, through every guard."""

    state: str = ""
    """The latest state that collected the slot; empty where the correction stays in the running one."""
    position: int = 0
    """How far along the way that state is."""
    too_late: bool = False
    """True where a call with effect `once` lies in between."""

    @classmethod
    def of(cls, progress: Progress, slot: str) -> _Reach:
        """The reach of a correction of the slot."""
        if any(slot in spot.state.collect for spot in progress.spots):
            return cls()
        states = progress.flow.states
        for position in range(len(progress.passed) - 1, -1, -1):
            if slot in states[progress.passed[position]].collect:
                name = progress.passed[position]
                return cls(name, position, name in progress.sealed)
        return cls()


_HERE = _Reach()


class _Hearing:
    """One message on its way through the machine."""

    def __init__(self, progress: Progress, text: str, now: datetime, limit: int) -> None:
        self.commands: list[Command] = []
        """What was understood, with the machine's verdict."""
        self._progress = progress
        self._text = text
        self._now = now
        self._limit = limit
        self._refusals: list[str] = []
        self._filled = False
        """Whether a slot was filled, corrected or taken back."""
        self._back: _Reach | None = None
        """Where the corrections go back to."""
        self._waking = False
        self._asked = progress.here.asked
        """The slot that the message may answer."""

    def run(self) -> None:
        progress = self._progress
        progress.cancel_timers()
        # A conversation that rests stays at rest for "thanks", and starts over for anything with substance.
        if progress.resting and set_phrase(self._situation(), fold(self._text)) is None:
            self._waking = True
            restart(progress)
            self._look_ahead()
        commands = understand(self._situation(), self._text, self._now)
        if wants_model(progress, commands):
            message = Heard(self._text, self._now, self._waking)
            ask_model(progress, message, self._asked, self._others())
        else:
            self._act(commands)

    def go_on_with(self, proposals: Sequence[Proposal], *, waking: bool) -> None:
        """Acts on what a model proposed, where some of it is allowed here; else on what the rules say."""
        progress = self._progress
        self._waking = waking
        self._asked = self._asked or slot_filling.missing(progress)
        offers = offered(progress, self._asked, self._others())
        proposed = judged(proposals, offers, progress.slots)
        self.commands += [command for command in proposed if not command.accepted]
        self._act(
            [command for command in proposed if command.accepted]
            or understand(self._situation(), self._text, self._now)
        )

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if done := _ACTIONS[command.name](self, command):
                done()
                return
        self._go_on()

    def _look_ahead(self) -> None:
        """Comes to a state that can take the message, and knows what it would ask for, without asking yet."""
        pass_through(self._progress, self._limit)
        self._asked = slot_filling.missing(self._progress)

    def _situation(self) -> Situation:
        progress = self._progress
        return Situation(
            progress.flow,
            progress.slots,
            self._asked,
            progress.state.kind != "generate",
            self._others(),
            slot_filling.parts(progress),
        )

    def _others(self) -> tuple[Flow, ...]:
        """The flows that may interrupt here; `check_references` told of those that are not there."""
        progress = self._progress
        inside, others = progress.inside, []
        for name in progress.flow.interrupts.flows if len(inside) < DEEPEST_STACK else ():
            if name not in inside:
                try:
                    others.append(progress.flows(name))
                except FlowNotFound:
                    continue
        return tuple(others)

    # What each command does. An action returns what is to happen instead of going on, or None.

    def accept(self, command: Command) -> None:
        """Keeps a command as understood."""
        self.commands.append(command)

    def _refuse(self, command: Command, reason: str) -> None:
        self.commands.append(replace(command, accepted=False, reason=reason))
        self._refusals.append(reason)

    def hand_off(self, command: Command) -> Callable[[], None] | None:
        """The person wants a person."""
        progress = self._progress
        if not progress.flow.on_handoff:
            self._refuse(command, progress.flow.locale.wording["no_person"])
            return None
        self.accept(replace(command, target=progress.flow.states[progress.flow.on_handoff].queue))
        return self._to_person

    def _to_person(self) -> None:
        go(self._progress, self._progress.flow.on_handoff, "handed_off")
        run(self._progress, self._limit)

    def cancel(self, command: Command) -> Callable[[], None] | None:
        """The person wants no more of this."""
        progress = self._progress
        command = replace(command, target=progress.flow.name)
        if not progress.flow.interrupts.cancel:
            self._refuse(command, progress.flow.locale.wording["cannot_cancel"])
            return None
        self.accept(command)
        return self._end_flow

    def _end_flow(self) -> None:
        progress = self._progress
        progress.say(progress.flow.on_cancel or progress.flow.locale.wording["cancelled"])
        if end(progress, cancelled=True):
            run(progress, self._limit)

    def start_flow(self, command: Command) -> Callable[[], None] | None:
        """The person wants something else first."""
        self.accept(command)
        return lambda: self._digress(self._progress.flows(command.target))

    def _digress(self, flow: Flow) -> None:
        """Starts another flow; what the message says beyond the wish for it fills that flow's slots."""
        progress = self._progress
        self._say_refusals()
        if self._back:
            # So that the guards there see the correction when this flow goes on.
            go(progress, self._back.state, "corrected")
        progress.push(flow, {})
        start(progress, "interrupted")
        self._look_ahead()
        if progress.state.kind != "generate":
            for command in fill(self._situation(), self._text, fold(self._text), self._now, free_text=False):
                _ACTIONS[command.name](self, command)
            self._say_refusals()
        run(progress, self._limit)

    def set_slot(self, command: Command) -> None:
        """The person fills, corrects or takes back a slot."""
        progress = self._progress
        flow, path, value = progress.flow, command.target, command.value
        root = root_of(path)
        # A part may be new, and what it is a part of have its value.
        reach = _Reach.of(progress, root) if root in progress.slots else _HERE
        if reach.too_late:
            self._refuse(command, flow.locale.wording["too_late"])
            return
        try:
            value = slot_filling.fill(progress, path, value)
        except SlotRefused as refused:
            self._refuse(command, refusal(refused, flow.askable[path], flow.locale))
            return
        self.accept(command if value is command.value else replace(command, value=value))
        self._filled = True
        if reach.state and (self._back is None or reach.position < self._back.position):
            self._back = reach

    def yes_or_no(self, command: Command) -> None:
        """The person says yes or no; of a list, whether there is more to it."""
        if command.target:
            progress = self._progress
            try:
                slot_filling.go_on_listing(progress, command.target, more=command.name == "affirm")
            except SlotRefused as refused:
                locale = progress.flow.locale
                self._refuse(command, refusal(refused, progress.flow.slots[command.target], locale))
                return
            self._filled = True
        self.accept(command)

    def clarify(self, command: Command) -> None:
        """The person named two values for one slot."""
        now, locale = self._progress.now, self._progress.flow.locale
        slot = self._progress.flow.askable[command.target]
        try:
            values = [slot.check(each, now) for each in _pair(command.value)]
        except SlotRefused as refused:
            self._refuse(command, refusal(refused, slot, locale))
            return
        first, second = [slot.show(each, locale) for each in values]
        self._refuse(command, locale.wording["either"].format(first=first, second=second))

    def help(self, command: Command) -> Callable[[], None]:
        """The person wants to know what is possible."""
        self.accept(command)
        progress = self._progress
        flow = progress.flow
        words = flow.locale.wording["help"].format(description=flow.description.rstrip(".") or flow.name)
        text = progress.text(flow.help) if flow.help else words
        return lambda: self._ask_again(text)

    def small_talk(self, command: Command) -> Callable[[], None]:
        """The person is being polite."""
        self.accept(command)
        words = self._progress.flow.locale.wording.get(str(command.value), "")
        return lambda: self._ask_again(words)

    # How the conversation goes on.

    def _go_on(self) -> None:
        progress = self._progress
        if self._back:
            self._say_refusals()
            go(progress, self._back.state, "corrected")
            run(progress, self._limit)
        elif self._waking or self._filled:
            # Nothing was asked for when a conversation wakes, so there is nothing to apologise for.
            progress.here.misses = 0
            for spot in progress.spots:
                spot.asked = ""  # what is still open is asked again
            self._say_refusals()
            run(progress, self._limit)
        elif progress.state.kind == "generate" and not self._refusals:
            self._to_model()
        else:
            self._missed()

    def _to_model(self) -> None:
        """The model answers; where it has done so and the state waited for this message, the flow goes on."""
        progress = self._progress
        heard_out = progress.state.wait and progress.here.spoke
        transition = progress.scope.first(progress.state.next) if heard_out else None
        if transition:
            take(progress, Way(progress.here, transition))
            run(progress, self._limit)
        else:
            generate(progress)

    def _missed(self) -> None:
        """Nothing in the message could be used."""
        progress = self._progress
        progress.here.misses += 1
        no_match = progress.state.no_match
        reason = progress.flow.locale.joint.join(self._refusals)
        if no_match and progress.here.misses > no_match.retries:
            progress.say(reason)
            turn_aside(progress, no_match, "no_match")
            run(progress, self._limit)
            return
        own = progress.text(no_match.say) if no_match and no_match.say else ""
        self._ask_again(reason or own or progress.flow.locale.wording["not_understood"])

    def _ask_again(self, words: str) -> None:
        """Says something and repeats the open question, as one reply."""
        progress = self._progress
        if self._asked:
            asked = slot_filling.still(progress, self._asked)
            progress.here.asked = progress.here.asked and asked
            question = slot_filling.question(progress, asked)
            words = f"{words}{progress.flow.locale.joint}{question}" if words else question
        progress.say(words)
        for spot in progress.spots:
            progress.attend(spot)
            progress.wait_for_user()
        progress.attend()

    def _say_refusals(self) -> None:
        if self._refusals:
            self._progress.say(self._progress.flow.locale.joint.join(self._refusals))
            self._refusals.clear()


def _pair(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else (value, value)


_ACTIONS: Mapping[CommandName, Callable[[_Hearing, Command], Callable[[], None] | None]] = {
    "set_slot": _Hearing.set_slot,
    "correct_slot": _Hearing.set_slot,
    "affirm": _Hearing.yes_or_no,
    "deny": _Hearing.yes_or_no,
    "none": _Hearing.accept,
    "start_flow": _Hearing.start_flow,
    "cancel_flow": _Hearing.cancel,
    "clarify": _Hearing.clarify,
    "chitchat": _Hearing.small_talk,
    "handoff": _Hearing.hand_off,
    "help": _Hearing.help,
}
