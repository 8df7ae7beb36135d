"""The model's share of a turn: its reply streamed, its tool calls run, until it has nothing more to ask for.

Each round that ended in tool calls is journalled with the calls' intents, so that a turn run again after a
crash goes on from the calls instead of asking the model for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Message, Part, ToolCall
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_INTERACTIVE,
    GenerateRequest,
    StreamGenerateResponse,
    ToolChoice,
)
from clawdbot.plugins.v1.tool_service_pb2 import TOOL_EFFECT_NONE, TOOL_EFFECT_REPEATABLE, Tool

from clawdbot_dialogue.core.machine.effects import Generate
from clawdbot_dialogue.core.machine.events import GenerationFailed, GenerationFinished
from clawdbot_dialogue.core.sessions.records import JournalEntry
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.context_window import fit_to_budget
from clawdbot_dialogue.core.turns.model_call import call_model
from clawdbot_dialogue.core.turns.ports import (
    GenerationError,
    ModelGateway,
    ToolBox,
    ToolRefused,
    TurnLimits,
)
from clawdbot_dialogue.core.turns.tool_calls import PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord, error_result

REPEATABLE_EFFECTS: Final = (TOOL_EFFECT_NONE, TOOL_EFFECT_REPEATABLE)
"""Effects that allow a second call. A tool that does not say counts as `once`."""


@dataclass(frozen=True, slots=True)
class TurnDependencies:
    """What generations of any turn need."""

    store: SessionStore
    gateway: ModelGateway
    tools: ToolBox
    limits: TurnLimits


class Generation:
    """Carries out one Generate effect."""

    def __init__(
        self,
        means: TurnDependencies,
        effect: Generate,
        record: TurnRecord,
        journal: TurnJournal,
        calls: ToolCaller,
    ) -> None:
        self._means = means
        self._effect = effect
        self._record = record
        self._journal = journal
        self._calls = calls
        self._history: Sequence[Message] = ()

    async def run(self) -> GenerationFinished | GenerationFailed:
        """Rounds of words and tool calls, until there are only words.

        Raises:
            StaleClaim: another writer has the session.
        """
        try:
            tools = await self._means.tools.tools(self._effect.tools) if self._effect.tools else {}
            limits = self._means.limits
            kept = await self._means.store.recent_messages(self._record.turn.session_id, limits.history)
            self._history = fit_to_budget(kept, limits.history_bytes)
            for number in range(limits.tool_rounds + 1):
                message = self._journalled(number) or await self._ask(number, tools)
                calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
                if not calls:
                    return self._finished(message)
                if number < limits.tool_rounds:
                    await self._call(number, message, tools)
        except (GenerationError, ToolRefused) as refusal:
            self._record.end_partial_reply()
            return self._failed(refusal.reason, refusal.message)
        return self._failed("TOOL_ROUNDS_EXCEEDED", "The model went on calling tools and never answered.")

    def _finished(self, message: Message) -> GenerationFinished | GenerationFailed:
        text = "".join(part.text for part in message.parts)
        if not text.strip():
            return self._failed("EMPTY_REPLY", "The model answered without words.")
        return GenerationFinished(self._effect.generation_id, text)

    def _failed(self, reason: str, message: str) -> GenerationFailed:
        return GenerationFailed(self._effect.generation_id, reason, message)

    def _journalled(self, number: int) -> Message | None:
        """The round as an earlier attempt at the turn had it, told again."""
        entry = self._journal.get(f"{self._effect.generation_id}/{number}")
        if entry is None or not entry.done:
            return None
        message = Message.FromString(entry.record)
        self._record.text_delta("".join(part.text for part in message.parts))
        self._record.reply_finished(message)
        return message

    async def _ask(self, number: int, tools: Mapping[str, Tool]) -> Message:
        """One round of the model, shown as it comes."""
        request = self._request(number, tools)
        message = await call_model(self._means.gateway, request, self._record, show=self._show)
        self._name_calls(number, message)
        self._record.reply_finished(message)
        return message

    def _show(self, event: StreamGenerateResponse) -> None:
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._record.text_delta(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._record.reasoning_delta(event.reasoning_delta.text)

    def _name_calls(self, number: int, message: Message) -> None:
        """Gives each call an id of its own: some backends send none, or the same one each time."""
        if not any(part.HasField("tool_call") for part in message.parts):
            return
        used = call_ids((*self._history, *self._record.transcript()))
        for index, part in enumerate(message.parts):
            if part.HasField("tool_call"):
                call = part.tool_call
                if not call.id or call.id in used:
                    call.id = f"t{self._record.turn.number}-{self._effect.generation_id}-{number}-{index}"
                used.add(call.id)

    def _request(self, number: int, tools: Mapping[str, Tool]) -> GenerateRequest:
        turn = self._record.turn
        request = GenerateRequest(
            model=self._effect.model,
            priority=PRIORITY_INTERACTIVE,
            request_id=f"{turn.id}/{self._effect.generation_id}/{number}",
            metadata={"session_id": turn.session_id, "turn_id": turn.id},
            tools=[tool.spec for tool in tools.values()],
        )
        if self._effect.instructions:
            request.messages.add(role=ROLE_SYSTEM, parts=[Part(text=self._effect.instructions)])
        request.messages.extend(self._history)
        request.messages.extend(self._record.transcript())
        if tools and number == self._means.limits.tool_rounds:
            # The last round: now it has to answer.
            request.tool_choice.mode = ToolChoice.MODE_NONE
        return request

    async def _call(self, number: int, message: Message, tools: Mapping[str, Tool]) -> None:
        """Runs the calls of a round; one that the state does not allow is answered without being made."""
        prefix = f"{self._effect.generation_id}/{number}"
        if self._journal.get(prefix) is None:
            entry = JournalEntry(
                self._record.turn.number, prefix, record=message.SerializeToString(), done=True
            )
            self._journal.defer(entry)
        wanted = []
        calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
        for index, call in enumerate(calls):
            tool = tools.get(call.name)
            if tool is None:
                self._refuse(call)
            else:
                wanted.append(PendingCall(f"{prefix}/{index}", call, tool.effect not in REPEATABLE_EFFECTS))
        if wanted:
            await self._calls.run(wanted)

    def _refuse(self, call: ToolCall) -> None:
        self._record.call_started(call)
        result = error_result(call, f"There is no tool {call.name} here.")
        result.structured.update({"reason": "TOOL_NOT_ALLOWED"})
        self._record.call_finished(ToolCallRecord(call=call, result=result))


def call_ids(messages: Iterable[Message]) -> set[str]:
    """The ids of all tool calls in the messages."""
    return {part.tool_call.id for message in messages for part in message.parts if part.HasField("tool_call")}
