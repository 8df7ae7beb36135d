"""A model's reply within a turn: streams its text and runs its tool calls, round after round.

Each round that ends in tool calls is journalled with the calls' intents. A turn that is run again after a
crash then goes on from those calls, and does not ask the model for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Message, Part, ToolCall
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord
from clawdbot.model_gateway.v1.generation_pb2 import (
    StreamGenerateRequest,
    StreamGenerateResponse,
    ToolChoice,
)
from clawdbot.plugins.v1.tool_service_pb2 import Tool

from clawdbot_dialogue.core.machine.effects import Generate
from clawdbot_dialogue.core.machine.events import GenerationFailed, GenerationFinished
from clawdbot_dialogue.core.sessions.records import JournalEntry
from clawdbot_dialogue.core.turns.history import History
from clawdbot_dialogue.core.turns.model_call import call_model, new_request
from clawdbot_dialogue.core.turns.ports import GenerationError, ToolRefused, TurnDependencies
from clawdbot_dialogue.core.turns.tool_calls import REPEATABLE_EFFECTS, PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord, error_result


class Generation:
    """Carries out one Generate effect."""

    def __init__(
        self,
        dependencies: TurnDependencies,
        effect: Generate,
        record: TurnRecord,
        journal: TurnJournal,
        tool_caller: ToolCaller,
        *,
        history: History,
    ) -> None:
        self._dependencies = dependencies
        self._effect = effect
        self._record = record
        self._journal = journal
        self._tool_caller = tool_caller
        self._history = history

    async def run(self) -> GenerationFinished | GenerationFailed:
        """Runs rounds of text and tool calls until a round has text only.

        Raises:
            LeaseLost: another process holds the session's lease.
        """
        try:
            names = self._effect.tools
            tools = await self._dependencies.tools.tools(names) if names else {}
            limits = self._dependencies.limits
            await self._history.read(self._dependencies.store)
            for number in range(limits.tool_rounds + 1):
                message = self._replayed_round(number) or await self._call_model(number, tools)
                calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
                if not calls:
                    return self._finished(message)
                if number < limits.tool_rounds:
                    await self._run_tools(number, message, tools)
        except (GenerationError, ToolRefused) as error:
            self._record.end_partial_reply()
            return self._failed(error.reason, error.message)
        return self._failed("TOOL_ROUNDS_EXCEEDED", "The model kept calling tools and never replied.")

    def _finished(self, message: Message) -> GenerationFinished | GenerationFailed:
        text = "".join(part.text for part in message.parts)
        if not text.strip():
            return self._failed("EMPTY_REPLY", "The model's reply has no text.")
        return GenerationFinished(self._effect.generation_id, text)

    def _failed(self, reason: str, message: str) -> GenerationFailed:
        return GenerationFailed(self._effect.generation_id, reason, message)

    def _replayed_round(self, number: int) -> Message | None:
        """The model's message of a round that an earlier attempt journalled, recorded and emitted again."""
        entry = self._journal.get(f"{self._effect.generation_id}/{number}")
        if entry is None or not entry.done:
            return None
        message = Message.FromString(entry.record)
        self._record.text_delta("".join(part.text for part in message.parts))
        self._record.reply_finished(message)
        return message

    async def _call_model(self, number: int, tools: Mapping[str, Tool]) -> Message:
        """The model's message of one round, emitted as it arrives."""
        request = self._request(number, tools)
        message = await call_model(self._dependencies.gateway, request, self._record, show=self._show)
        self._assign_call_ids(number, message, request.request.messages)
        self._record.reply_finished(message)
        return message

    def _show(self, event: StreamGenerateResponse) -> None:
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._record.text_delta(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._record.reasoning_delta(event.reasoning_delta.text)

    def _assign_call_ids(self, number: int, message: Message, before: Iterable[Message]) -> None:
        """Gives each call an id of its own: some backends send none, or the same one each time."""
        if not any(part.HasField("tool_call") for part in message.parts):
            return
        used = call_ids(before)
        for index, part in enumerate(message.parts):
            if part.HasField("tool_call"):
                call = part.tool_call
                if not call.id or call.id in used:
                    call.id = f"t{self._record.turn.number}-{self._effect.generation_id}-{number}-{index}"
                used.add(call.id)

    def _request(self, number: int, tools: Mapping[str, Tool]) -> StreamGenerateRequest:
        request_id = f"{self._effect.generation_id}/{number}"
        wire_request = new_request(self._record.turn, self._effect.model, request_id)
        request = wire_request.request
        request.tools.extend([tool.spec for tool in tools.values()])
        if self._effect.instructions:
            request.messages.add(role=ROLE_SYSTEM, parts=[Part(text=self._effect.instructions)])
        self._history.append_to(request)
        request.messages.extend(self._record.transcript())
        if tools and number == self._dependencies.limits.tool_rounds:
            # The last round: the model has to reply now.
            request.tool_choice.mode = ToolChoice.MODE_NONE
        return wire_request

    async def _run_tools(self, number: int, message: Message, tools: Mapping[str, Tool]) -> None:
        """Runs the calls of a round; a call of a tool that the state does not allow gets an error result."""
        prefix = f"{self._effect.generation_id}/{number}"
        if self._journal.get(prefix) is None:
            entry = JournalEntry(
                self._record.turn.number, prefix, record=message.SerializeToString(), done=True
            )
            self._journal.defer(entry)
        pending = []
        calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
        for index, call in enumerate(calls):
            tool = tools.get(call.name)
            if tool is None:
                self._reject(call)
            else:
                once = tool.effect not in REPEATABLE_EFFECTS
                pending.append(PendingCall(f"{prefix}/{index}", call, once))
        if pending:
            await self._tool_caller.run(pending)

    def _reject(self, call: ToolCall) -> None:
        self._record.call_started(call)
        result = error_result(call, f"The tool {call.name} is not available here.")
        result.structured.update({"reason": "TOOL_NOT_ALLOWED"})
        self._record.call_finished(ToolCallRecord(call=call, result=result))


def call_ids(messages: Iterable[Message]) -> set[str]:
    """Returns the ids of all tool calls in the messages."""
    return {part.tool_call.id for message in messages for part in message.parts if part.HasField("tool_call")}
