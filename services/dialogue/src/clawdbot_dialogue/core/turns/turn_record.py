"""What one attempt at a turn has done so far: events, replies, transcript, calls, timers, and its result.

It only records. Nothing that was said is lost if the turn ends early, and every announced call gets a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, Part, ToolCall, ToolResult
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord, Turn, TurnError, TurnStatus
from clawdbot_model_client.usage import add_usage
from clawdbot_servicekit.structs import fill_value

from clawdbot_dialogue.core.machine import effects
from clawdbot_dialogue.core.sessions.records import TurnResult
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.explanation import ExplanationBuilder, fill_command
from clawdbot_dialogue.core.understanding.commands import Command

NOT_FINISHED_MESSAGE: Final = "The turn ended before this call finished."
OUTCOME_UNKNOWN_MESSAGE: Final = (
    "It is not known whether this took place. Do not call it again without asking."
)
"""Results of calls, as the model reads them."""


class TurnRecord:
    """The record of one attempt at one turn."""

    def __init__(self, turn: Turn, emit: Callable[[StreamTurnResponse], None]) -> None:
        """Starts the record, with the event turn_started.

        Args:
            turn: The turn as accepted; it is not changed.
            emit: Called with each event.
        """
        self.turn = turn
        self.events: list[StreamTurnResponse] = []
        self.set_timers: dict[str, float] = {}
        """Timer id → seconds from the end of the turn."""
        self.clear_timers: list[str] = []
        self.has_text = False
        """Whether the person was shown any text."""
        self._emit_event = emit
        self._commands: list[Command] = []
        self._path: list[str] = []
        self._replies: list[Message] = []
        self._partial_reply: list[str] = []
        self._messages: list[Message] = [turn.input] if turn.HasField("input") else []
        self._open: dict[str, tuple[ToolCall, bool]] = {}
        self._calls: dict[str, ToolCallRecord] = {}
        """By call id, in the order of their announcement; without a result while they are open."""
        self._usage = Usage()
        self.explanation = ExplanationBuilder()
        """Why the turn goes the way it goes."""
        event = self._new_event()
        event.turn_started.turn_id = turn.id
        event.turn_started.session_id = turn.session_id
        self._emit(event)

    # The machine's effects

    def commands_generated(self, effect: effects.CommandsGenerated) -> None:
        """Records the commands that the input was turned into."""
        self._commands.extend(effect.commands)

    def state_entered(self, effect: effects.StateEntered) -> None:
        """Records that the flow entered a state."""
        self._path.append(effect.state)
        event = self._new_event()
        event.state_entered.state = effect.state
        event.state_entered.flow = effect.flow
        self._emit(event)

    def slot_changed(self, effect: effects.SlotChanged) -> None:
        """Records that a slot was set or cleared."""
        event = self._new_event()
        event.slot_set.slot = effect.slot
        if effect.value is not None:
            fill_value(event.slot_set.value, effect.value)
        self._emit(event)

    def say(self, effect: effects.Say) -> None:
        """Records a whole reply."""
        self.text_delta(effect.text)
        self.reply_finished(text_message(effect.text))

    def handed_off(self, effect: effects.HandOff) -> None:
        """Records that a person takes over."""
        event = self._new_event()
        event.handoff.queue = effect.queue
        self._emit(event)

    def timer_set(self, effect: effects.SetTimer) -> None:
        """Records a timer to set."""
        self.set_timers[effect.timer_id] = effect.seconds

    def timer_cancelled(self, effect: effects.CancelTimer) -> None:
        """Records a timer to clear."""
        self.set_timers.pop(effect.timer_id, None)
        self.clear_timers.append(effect.timer_id)

    # The model's reply

    def text_delta(self, text: str) -> None:
        """Records the next text of the current reply."""
        if text:
            self.has_text = True
            self._partial_reply.append(text)
            event = self._new_event()
            event.text_delta.text = text
            event.text_delta.reply_index = len(self._replies)
            self._emit(event)

    def reasoning_delta(self, text: str) -> None:
        """Records the next text of the model's reasoning."""
        if text:
            event = self._new_event()
            event.reasoning_delta.text = text
            self._emit(event)

    def reply_finished(self, message: Message) -> None:
        """Records a whole reply; its text was emitted already, its tool calls are still to be made."""
        self._partial_reply.clear()
        if message.parts:  # vendors reject a history with an empty message in it
            self._messages.append(message)
        texts = [part for part in message.parts if part.WhichOneof("content") == "text"]
        if texts:
            only_text = len(texts) == len(message.parts)
            self._replies.append(message if only_text else Message(role=ROLE_ASSISTANT, parts=texts))

    def end_partial_reply(self) -> None:
        """Ends the current reply where it is."""
        text = "".join(self._partial_reply)
        if text:
            self.reply_finished(text_message(text))

    def usage_reported(self, usage: Usage) -> None:
        """Adds the usage of a generation."""
        add_usage(self._usage, usage)

    # Tool calls

    def call_requested(self, call: ToolCall) -> None:
        """Adds a call to the transcript that no reply contains, such as one that the flow itself makes."""
        message = Message(role=ROLE_ASSISTANT)
        message.parts.add().tool_call.CopyFrom(call)
        self._messages.append(message)

    def call_started(self, call: ToolCall) -> None:
        """Announces a call."""
        self._open[call.id] = (call, False)
        self._calls[call.id] = ToolCallRecord(call=call)
        event = self._new_event()
        event.tool_call_started.call.CopyFrom(call)
        self._emit(event)

    def call_sent(self, call: ToolCall, *, once: bool) -> None:
        """Records that from now on the call may have taken place."""
        self._open[call.id] = (call, once)

    def call_finished(self, record: ToolCallRecord) -> None:
        """Records a call's result."""
        self._open.pop(record.call.id, None)
        self._calls[record.call.id] = record
        event = self._new_event()
        event.tool_call_finished.record.CopyFrom(record)
        self._emit(event)

    def transcript(self) -> tuple[Message, ...]:
        """Returns the turn so far as a model reads it: messages with calls are followed by the results."""
        messages: list[Message] = []
        for message in self._messages:
            messages.append(message)
            calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
            if calls:
                results = Message(role=ROLE_TOOL)
                for call in calls:
                    results.parts.add().tool_result.CopyFrom(self._result(call))
                messages.append(results)
        return tuple(messages)

    def _result(self, call: ToolCall) -> ToolResult:
        record = self._calls.get(call.id)
        finished = record is not None and record.HasField("result")
        return record.result if record is not None and finished else error_result(call, NOT_FINISHED_MESSAGE)

    # The end

    def due_timers(self, now: float) -> dict[str, float]:
        """Returns timer id → due time, in epoch seconds, if the turn ends at `now`."""
        return {timer_id: now + seconds for timer_id, seconds in self.set_timers.items()}

    def end(
        self, status: TurnStatus.ValueType, session: Session, now: float, error: TurnError | None = None
    ) -> TurnResult:
        """Ends the turn and returns its result; open calls get a result, too.

        Args:
            status: How the turn ended.
            session: The session after the turn.
            now: Epoch seconds.
            error: For FAILED.
        """
        self.end_partial_reply()
        for call, once in list(self._open.values()):
            result = error_result(call, OUTCOME_UNKNOWN_MESSAGE if once else NOT_FINISHED_MESSAGE)
            self.call_finished(ToolCallRecord(call=call, result=result, outcome_unknown=once))
        done = Turn()
        done.CopyFrom(self.turn)
        done.status = status
        done.replies.extend(self._replies)
        done.state = session.state
        done.slots.CopyFrom(session.slots)
        for command in self._commands:
            fill_command(done.commands.add(), command)
        done.tool_calls.extend(self._calls.values())
        done.path.extend(self._path)
        if self._usage.ByteSize():
            done.usage.CopyFrom(self._usage)
        if error is not None:
            done.error.CopyFrom(error)
        done.finish_time.CopyFrom(to_timestamp(now))
        return TurnResult(done, session, tuple(self.events), self.transcript(), self.explanation.encoded())

    def _new_event(self) -> StreamTurnResponse:
        """The next event, to be filled in place: a content that was built apart would be copied."""
        return StreamTurnResponse(sequence=len(self.events) + 1)

    def _emit(self, event: StreamTurnResponse) -> None:
        self.events.append(event)
        self._emit_event(event)


def text_message(text: str) -> Message:
    """Returns a reply that consists of text."""
    message = Message(role=ROLE_ASSISTANT)
    message.parts.add().text = text
    return message


def error_result(call: ToolCall, explanation: str) -> ToolResult:
    """Returns the result of a call that failed, with a sentence for the model."""
    return ToolResult(call_id=call.id, name=call.name, content=[Part(text=explanation)], is_error=True)
