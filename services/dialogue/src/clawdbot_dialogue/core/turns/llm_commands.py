"""The model's share of understanding: what a message means, as calls that stand for commands.

Nothing of it is shown. A round that was answered is journalled, so that a turn run again after a crash
understands what it understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_INTERACTIVE, GenerateRequest, ToolChoice
from clawdbot.plugins.v1.tool_service_pb2 import Tool
from clawdbot_servicekit.structs import to_plain, to_struct

from clawdbot_dialogue.core.machine.effects import Interpret
from clawdbot_dialogue.core.machine.events import InterpretationFailed, Interpreted
from clawdbot_dialogue.core.sessions.records import JournalEntry
from clawdbot_dialogue.core.turns.context_window import fit_to_budget
from clawdbot_dialogue.core.turns.generation import REPEATABLE_EFFECTS, TurnDependencies
from clawdbot_dialogue.core.turns.model_call import call_model
from clawdbot_dialogue.core.turns.ports import GenerationError, ToolRefused
from clawdbot_dialogue.core.turns.tool_calls import PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord
from clawdbot_dialogue.core.understanding.llm_commands import Offer, Proposal


class CommandGeneration:
    """Carries out one Interpret effect."""

    def __init__(
        self,
        means: TurnDependencies,
        effect: Interpret,
        record: TurnRecord,
        journal: TurnJournal,
        calls: ToolCaller,
    ) -> None:
        self._means = means
        self._effect = effect
        self._record = record
        self._journal = journal
        self._calls = calls
        self._offered = {offer.name: _spec(offer) for offer in effect.offers}

    async def run(self) -> Interpreted | InterpretationFailed:
        """Rounds of tool calls, until the model calls commands or nothing.

        Raises:
            StaleClaim: another writer has the session.
        """
        proposals: list[Proposal] = []
        try:
            tools = await self._means.tools.tools(self._effect.tools) if self._effect.tools else {}
            limits = self._means.limits
            kept = await self._means.store.recent_messages(self._record.turn.session_id, limits.history)
            history = fit_to_budget(kept, limits.history_bytes)
            for number in range(limits.tool_rounds + 1):
                last = number == limits.tool_rounds
                message = self._journalled(number) or await self._ask(number, {} if last else tools, history)
                proposals += self._proposals(message, tools)
                wanted = self._wanted(number, message, tools)
                if proposals or not wanted:
                    break
                await self._call(wanted)
        except (GenerationError, ToolRefused) as refusal:
            return self._failed(refusal.reason, refusal.message)
        if not proposals:
            return self._failed("NO_COMMAND", "The model called no command.")
        return Interpreted(self._effect.interpretation_id, tuple(proposals), self._effect.heard)

    def _failed(self, reason: str, message: str) -> InterpretationFailed:
        return InterpretationFailed(self._effect.interpretation_id, reason, message, self._effect.heard)

    def _journalled(self, number: int) -> Message | None:
        entry = self._journal.get(f"{self._effect.interpretation_id}/{number}")
        return Message.FromString(entry.record) if entry is not None and entry.done else None

    async def _ask(self, number: int, tools: Mapping[str, Tool], history: Sequence[Message]) -> Message:
        request = self._request(number, tools, history)
        message = await call_model(self._means.gateway, request, self._record, offers=self._offered)
        key = f"{self._effect.interpretation_id}/{number}"
        turn = self._record.turn.number
        self._journal.defer(JournalEntry(turn, key, record=message.SerializeToString(), done=True))
        return message

    def _request(self, number: int, tools: Mapping[str, Tool], history: Sequence[Message]) -> GenerateRequest:
        turn = self._record.turn
        request = GenerateRequest(
            model=self._effect.model,
            priority=PRIORITY_INTERACTIVE,
            request_id=f"{turn.id}/{self._effect.interpretation_id}/{number}",
            metadata={"session_id": turn.session_id, "turn_id": turn.id},
            tools=[*(tool.spec for tool in tools.values()), *self._offered.values()],
        )
        request.tool_choice.mode = ToolChoice.MODE_REQUIRED
        request.messages.add(role=ROLE_SYSTEM, parts=[Part(text=self._effect.instructions)])
        request.messages.extend(history)
        request.messages.extend(self._record.transcript())
        return request

    def _proposals(self, message: Message, tools: Mapping[str, Tool]) -> list[Proposal]:
        """The commands that were called; what is neither a command nor a tool is one that will be refused."""
        return [
            Proposal(call.name, to_plain(call.arguments))
            for call in _calls(message)
            if call.name in self._offered or call.name not in tools
        ]

    def _wanted(self, number: int, message: Message, tools: Mapping[str, Tool]) -> list[PendingCall]:
        prefix = f"{self._effect.interpretation_id}/{number}"
        wanted = []
        for index, call in enumerate(_calls(message)):
            if call.name in tools and call.name not in self._offered:
                call.id = f"t{self._record.turn.number}-{self._effect.interpretation_id}-{number}-{index}"
                once = tools[call.name].effect not in REPEATABLE_EFFECTS
                wanted.append(PendingCall(f"{prefix}/{index}", call, once))
        return wanted

    async def _call(self, wanted: Sequence[PendingCall]) -> None:
        """Runs the tools of a round; they are in the transcript, with their results, as a flow's own are."""
        for each in wanted:
            self._record.call_requested(each.call)
        await self._calls.run(wanted)


def _spec(offer: Offer) -> ToolSpec:
    spec = ToolSpec(name=offer.name, description=offer.description)
    spec.input_schema.CopyFrom(to_struct(offer.parameters))
    return spec


def _calls(message: Message) -> list[ToolCall]:
    return [part.tool_call for part in message.parts if part.HasField("tool_call")]
