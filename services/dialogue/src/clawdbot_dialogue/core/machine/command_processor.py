"""Processes a message: accepts or refuses its commands, and continues the conversation accordingly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import SlotValueError, root_slot
from clawdbot_dialogue.core.flow.slots.validation import describe_error
from clawdbot_dialogue.core.language.normalization import normalize
from clawdbot_dialogue.core.machine import slot_filling
from clawdbot_dialogue.core.machine.active_state import ActiveState
from clawdbot_dialogue.core.machine.effects import CommandsGenerated, PendingMessage
from clawdbot_dialogue.core.machine.interpreter import end_flow, pass_through, run
from clawdbot_dialogue.core.machine.llm_fallback import (
    needs_model,
    offered_tools,
    request_interpretation,
)
from clawdbot_dialogue.core.machine.state_behaviors import request_generation
from clawdbot_dialogue.core.machine.step_context import MAX_STACK_DEPTH, StepContext
from clawdbot_dialogue.core.machine.transitions import (
    EnabledTransition,
    enter_initial_state,
    go_to,
    restart,
    take,
    take_fallback,
)
from clawdbot_dialogue.core.understanding.commands import Command, CommandName
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.llm_commands import Proposal, validate_proposals
from clawdbot_dialogue.core.understanding.rule_commands import (
    generate_commands,
    set_phrase_command,
    slot_commands,
)


def process_message(context: StepContext, text: str, now: datetime, limit: int) -> None:
    """Generates commands from a message and executes them, or asks a model for an interpretation first."""
    context.follow_language(text)
    processor = _CommandProcessor(context, context.addressed, text, now, limit)
    before = len(context.effects)
    if processor.run():
        context.effects.insert(before, CommandsGenerated(tuple(processor.commands)))


def process_interpretation(
    context: StepContext,
    active: ActiveState,
    message: PendingMessage,
    proposals: Sequence[Proposal],
    limit: int,
) -> None:
    """Executes the commands that a model proposed for a message, or those of the rules if none is allowed.

    Args:
        context: The conversation.
        active: The state that waited for the model.
        message: The message.
        proposals: What the model proposed.
        limit: The maximum of microsteps.
    """
    processor = _CommandProcessor(context, active, message.text, message.now, limit)
    before = len(context.effects)
    processor.run_proposals(proposals, restarted=message.restarted)
    context.effects.insert(before, CommandsGenerated(tuple(processor.commands)))


@dataclass(frozen=True, slots=True)
class _CorrectionScope:
    """How far back a correction goes: the flow runs forward again from there, through every guard."""

    state: str = ""
    """The latest visited state that collected the slot; empty if an active state collects it, or none did."""
    position: int = 0
    """The position of that state in `visited`."""
    too_late: bool = False
    """True if a call with effect `once` was made since."""

    @classmethod
    def of(cls, context: StepContext, slot: str) -> _CorrectionScope:
        """The scope of a correction of the slot."""
        if any(slot in active.state.collect for active in context.active_states):
            return cls()
        states = context.flow.states
        for position in range(len(context.visited) - 1, -1, -1):
            if slot in states[context.visited[position]].collect:
                name = context.visited[position]
                return cls(name, position, name in context.commit_points)
        return cls()


_IN_PLACE = _CorrectionScope()


class _CommandProcessor:
    """The processing of one message."""

    def __init__(
        self, context: StepContext, active: ActiveState, text: str, now: datetime, limit: int
    ) -> None:
        self.commands: list[Command] = []
        """The commands of the message, each accepted or refused."""
        self._context = context
        self._active = active
        """The active state that the message is for, also after a restart or an interruption."""
        self._text = text
        self._now = now
        self._limit = limit
        self._refusals: list[str] = []
        self._slots_changed = False
        """Whether a slot was filled, corrected or cleared."""
        self._correction: _CorrectionScope | None = None
        """The correction that goes back furthest."""
        self._restarted = False
        """Whether the message restarted a conversation at rest."""
        self._asked = active.asked
        """The path of the slot that the message may answer."""

    def run(self) -> bool:
        """Executes the commands of the rules; or asks a model for an interpretation, and returns False."""
        context = self._context
        context.cancel_timers()
        # A conversation at rest stays at rest for a set phrase such as "thanks"; any other message restarts
        # it.
        if context.resting and set_phrase_command(self._message_context(), normalize(self._text)) is None:
            self._restarted = True
            restart(context, self._active)
            self._look_ahead()
        commands = generate_commands(self._message_context(), self._text, self._now)
        if needs_model(context, self._active.state, commands):
            message = PendingMessage(self._text, self._now, self._restarted)
            request_interpretation(context, self._active, message, self._asked, self._startable_flows())
            return False
        self._apply(commands)
        return True

    def run_proposals(self, proposals: Sequence[Proposal], *, restarted: bool) -> None:
        """Executes the proposals that are allowed, or the commands of the rules if there are none."""
        context = self._context
        self._restarted = restarted
        self._asked = self._asked or slot_filling.next_to_ask(context, self._active.state)
        tools = offered_tools(context, self._active, self._asked, self._startable_flows())
        proposed = validate_proposals(proposals, tools, context.slots)
        self.commands += [command for command in proposed if not command.accepted]
        self._apply(
            [command for command in proposed if command.accepted]
            or generate_commands(self._message_context(), self._text, self._now)
        )

    def _apply(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if finish := _ACTIONS[command.name](self, command):
                finish()
                return
        self._continue()

    def _look_ahead(self) -> None:
        """Advances to a state that can use the message, and determines what it would ask for."""
        pass_through(self._context, self._limit)
        self._active = self._context.addressed
        self._asked = slot_filling.next_to_ask(self._context, self._active.state)

    def _message_context(self) -> MessageContext:
        context = self._context
        return MessageContext(
            context.flow,
            context.slots,
            self._asked,
            self._active.state.kind != "generate",
            self._startable_flows(),
            slot_filling.known_parts(context),
        )

    def _startable_flows(self) -> tuple[Flow, ...]:
        """The flows that may interrupt in this state; the loader has reported those that do not exist."""
        context = self._context
        stack, startable = context.flow_stack, []
        for name in context.flow.interrupts.flows if len(stack) < MAX_STACK_DEPTH else ():
            if name not in stack:
                try:
                    startable.append(context.find_flow(name))
                except FlowNotFound:
                    continue
        return tuple(startable)

    # One action for each command. It returns a function that finishes the processing, or None to continue.

    def accept(self, command: Command) -> None:
        """Records a command as accepted."""
        self.commands.append(command)

    def _refuse(self, command: Command, reason: str) -> None:
        self.commands.append(replace(command, accepted=False, reason=reason))
        self._refusals.append(reason)

    def hand_off(self, command: Command) -> Callable[[], None] | None:
        """The person wants to talk to a human agent."""
        context = self._context
        if not context.flow.on_handoff:
            self._refuse(command, context.flow.locale.messages["no_person"])
            return None
        self.accept(replace(command, target=context.flow.states[context.flow.on_handoff].queue))
        return self._go_to_handoff

    def _go_to_handoff(self) -> None:
        go_to(self._context, self._context.flow.on_handoff, "handed_off")
        run(self._context, self._limit)

    def cancel(self, command: Command) -> Callable[[], None] | None:
        """The person wants to stop the running flow."""
        context = self._context
        command = replace(command, target=context.flow.name)
        if not context.flow.interrupts.cancel:
            self._refuse(command, context.flow.locale.messages["cannot_cancel"])
            return None
        self.accept(command)
        return self._end_flow

    def _end_flow(self) -> None:
        context = self._context
        own, default = context.flow.on_cancel, context.flow.locale.messages["cancelled"]
        context.say(context.render(own, self._active) if own else default)
        if end_flow(context, cancelled=True):
            run(context, self._limit)

    def start_flow(self, command: Command) -> Callable[[], None] | None:
        """The person wants to do something else first."""
        self.accept(command)
        return lambda: self._interrupt(self._context.find_flow(command.target))

    def _interrupt(self, flow: Flow) -> None:
        """Starts another flow, and fills its slots with the values in the message."""
        context = self._context
        self._say_refusals()
        if self._correction:
            # Before the interruption, so that the guards see the correction when this flow resumes.
            go_to(context, self._correction.state, "corrected")
        context.push(flow, {})
        enter_initial_state(context, "interrupted")
        self._look_ahead()
        if self._active.state.kind != "generate":
            for command in slot_commands(
                self._message_context(), self._text, normalize(self._text), self._now, free_text=False
            ):
                _ACTIONS[command.name](self, command)
            self._say_refusals()
        run(context, self._limit)

    def set_slot(self, command: Command) -> None:
        """The person fills, corrects or clears a slot."""
        context = self._context
        flow, path, value = context.flow, command.target, command.value
        root = root_slot(path)
        # Checked for the root, since a new part may belong to a slot that already has a value.
        scope = _CorrectionScope.of(context, root) if root in context.slots else _IN_PLACE
        if scope.too_late:
            self._refuse(command, flow.locale.messages["too_late"])
            return
        try:
            value = slot_filling.fill_slot(context, path, value)
        except SlotValueError as refused:
            self._refuse(command, describe_error(refused, flow.askable[path], flow.locale))
            return
        self.accept(command if value is command.value else replace(command, value=value))
        self._slots_changed = True
        if scope.state and (self._correction is None or scope.position < self._correction.position):
            self._correction = scope

    def yes_or_no(self, command: Command) -> None:
        """The person says yes or no; if the command targets a list, whether it has more items."""
        if command.target:
            context = self._context
            try:
                slot_filling.continue_list(context, command.target, more=command.name == "affirm")
            except SlotValueError as refused:
                locale = context.flow.locale
                self._refuse(command, describe_error(refused, context.flow.slots[command.target], locale))
                return
            self._slots_changed = True
        self.accept(command)

    def clarify(self, command: Command) -> None:
        """The person gave two alternatives for one slot."""
        now, locale = self._context.now, self._context.flow.locale
        slot = self._context.flow.askable[command.target]
        try:
            values = [slot.check(each, now) for each in _pair(command.value)]
        except SlotValueError as refused:
            self._refuse(command, describe_error(refused, slot, locale))
            return
        first, second = [slot.format(each, locale) for each in values]
        self._refuse(command, locale.messages["either"].format(first=first, second=second))

    def help(self, command: Command) -> Callable[[], None]:
        """The person asks what they can do."""
        self.accept(command)
        context = self._context
        flow = context.flow
        default = flow.locale.messages["help"].format(description=flow.description.rstrip(".") or flow.name)
        text = context.render(flow.help, self._active) if flow.help else default
        return lambda: self._ask_again(text)

    def chitchat(self, command: Command) -> Callable[[], None]:
        """The person is being polite."""
        self.accept(command)
        words = self._context.flow.locale.messages.get(str(command.value), "")
        return lambda: self._ask_again(words)

    # How the conversation continues.

    def _continue(self) -> None:
        context = self._context
        if self._correction:
            self._say_refusals()
            go_to(context, self._correction.state, "corrected")
            run(context, self._limit)
        elif self._restarted or self._slots_changed:
            # After a restart no question was open, so the message cannot have missed one.
            self._active.misses = 0
            for active in context.active_states:
                active.asked = ""  # so that open questions are asked again
            self._say_refusals()
            run(context, self._limit)
        elif self._active.state.kind == "generate" and not self._refusals:
            self._generate()
        else:
            self._not_understood()

    def _generate(self) -> None:
        """Lets the model reply; a state with `wait` whose model has replied takes a transition instead."""
        context, active = self._context, self._active
        may_leave = active.state.wait and active.spoke
        transition = context.scope(active).first_enabled(active.state.next) if may_leave else None
        if transition:
            take(context, EnabledTransition(active, transition))
            run(context, self._limit)
        else:
            request_generation(context, active)

    def _not_understood(self) -> None:
        """Handles a message of which nothing could be used."""
        context, active = self._context, self._active
        active.misses += 1
        no_match = active.state.no_match
        reason = context.flow.locale.sentence_separator.join(self._refusals)
        if no_match and active.misses > no_match.retries:
            context.say(reason)
            take_fallback(context, active, no_match, "no_match")
            run(context, self._limit)
            return
        custom = context.render(no_match.say, active) if no_match and no_match.say else ""
        self._ask_again(reason or custom or context.flow.locale.messages["not_understood"])

    def _ask_again(self, text: str) -> None:
        """Says a text and repeats the open question, as one reply."""
        context = self._context
        if self._asked:
            asked = slot_filling.next_to_repeat(context, self._asked)
            self._active.asked = self._active.asked and asked
            question = slot_filling.question(context, self._active, asked)
            text = f"{text}{context.flow.locale.sentence_separator}{question}" if text else question
        context.say(text)
        for active in context.active_states:
            context.wait_for_user(active)

    def _say_refusals(self) -> None:
        if self._refusals:
            self._context.say(self._context.flow.locale.sentence_separator.join(self._refusals))
            self._refusals.clear()


def _pair(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else (value, value)


_ACTIONS: Mapping[CommandName, Callable[[_CommandProcessor, Command], Callable[[], None] | None]] = {
    "set_slot": _CommandProcessor.set_slot,
    "correct_slot": _CommandProcessor.set_slot,
    "affirm": _CommandProcessor.yes_or_no,
    "deny": _CommandProcessor.yes_or_no,
    "none": _CommandProcessor.accept,
    "start_flow": _CommandProcessor.start_flow,
    "cancel_flow": _CommandProcessor.cancel,
    "clarify": _CommandProcessor.clarify,
    "chitchat": _CommandProcessor.chitchat,
    "handoff": _CommandProcessor.hand_off,
    "help": _CommandProcessor.help,
}
