"""Lets a model generate the commands for a message: it calls them as tools.

Nothing of that is shown to the person. Each reply is journalled, so that a turn that is run again after a
crash has the same commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.model_gateway.v1.generation_pb2 import StreamGenerateRequest, ToolChoice
from clawdbot.plugins.v1.tool_service_pb2 import Tool
from clawdbot_servicekit.structs import plain_from_json, to_plain, to_struct

from clawdbot_dialogue.core.machine.effects import Interpret
from clawdbot_dialogue.core.machine.events import InterpretationFailed, Interpreted
from clawdbot_dialogue.core.sessions.records import JournalEntry
from clawdbot_dialogue.core.turns.history import History
from clawdbot_dialogue.core.turns.model_call import call_model, new_request
from clawdbot_dialogue.core.turns.ports import GenerationError, ToolRefused, TurnDependencies
from clawdbot_dialogue.core.turns.tool_calls import REPEATABLE_EFFECTS, PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord
from clawdbot_dialogue.core.understanding.llm_commands import CommandTool, Proposal


class CommandGeneration:
    """Carries out one Interpret effect."""

    def __init__(
        self,
        dependencies: TurnDependencies,
        effect: Interpret,
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
        self._offered = {offer.name: _tool_spec(offer) for offer in effect.command_tools}

    async def run(self) -> Interpreted | InterpretationFailed:
        """Runs rounds of tool calls until the model calls commands, or calls nothing.

        Raises:
            LeaseLost: another process holds the session's lease.
        """
        proposals: list[Proposal] = []
        try:
            names = self._effect.tools
            tools = await self._dependencies.tools.tools(names) if names else {}
            limits = self._dependencies.limits
            await self._history.read(self._dependencies.store)
            for number in range(limits.tool_rounds + 1):
                offered_tools = {} if number == limits.tool_rounds else tools
                message = self._replayed_round(number) or await self._call_model(number, offered_tools)
                proposals += self._proposals(message, tools)
                pending = self._pending_calls(number, message, tools)
                if proposals or not pending:
                    break
                await self._run_tools(pending)
        except (GenerationError, ToolRefused) as error:
            return self._failed(error.reason, error.message)
        if not proposals:
            return self._failed("NO_COMMAND", "The model called no command.")
        return Interpreted(self._effect.interpretation_id, tuple(proposals), self._effect.pending_message)

    def _failed(self, reason: str, message: str) -> InterpretationFailed:
        return InterpretationFailed(
            self._effect.interpretation_id, reason, message, self._effect.pending_message
        )

    def _replayed_round(self, number: int) -> Message | None:
        """The model's message of a round that an earlier attempt journalled."""
        entry = self._journal.get(f"{self._effect.interpretation_id}/{number}")
        return Message.FromString(entry.record) if entry is not None and entry.done else None

    async def _call_model(self, number: int, tools: Mapping[str, Tool]) -> Message:
        request = self._request(number, tools)
        message = await call_model(self._dependencies.gateway, request, self._record, offers=self._offered)
        key = f"{self._effect.interpretation_id}/{number}"
        turn = self._record.turn.number
        self._journal.defer(JournalEntry(turn, key, record=message.SerializeToString(), done=True))
        return message

    def _request(self, number: int, tools: Mapping[str, Tool]) -> StreamGenerateRequest:
        request_id = f"{self._effect.interpretation_id}/{number}"
        wire_request = new_request(self._record.turn, self._effect.model, request_id)
        request = wire_request.request
        request.tools.extend([*(tool.spec for tool in tools.values()), *self._offered.values()])
        request.tool_choice.mode = ToolChoice.MODE_REQUIRED
        request.messages.add(role=ROLE_SYSTEM, parts=[Part(text=self._effect.instructions)])
        self._history.append_to(request)
        request.messages.extend(self._record.transcript())
        return wire_request

    def _proposals(self, message: Message, tools: Mapping[str, Tool]) -> list[Proposal]:
        """The commands that were called, and calls of unknown names: the machine refuses those."""
        return [
            Proposal(call.name, _arguments(call))
            for call in _calls(message)
            if call.name in self._offered or call.name not in tools
        ]

    def _pending_calls(self, number: int, message: Message, tools: Mapping[str, Tool]) -> list[PendingCall]:
        prefix = f"{self._effect.interpretation_id}/{number}"
        pending = []
        for index, call in enumerate(_calls(message)):
            if call.name in tools and call.name not in self._offered:
                call.id = f"t{self._record.turn.number}-{self._effect.interpretation_id}-{number}-{index}"
                once = tools[call.name].effect not in REPEATABLE_EFFECTS
                pending.append(PendingCall(f"{prefix}/{index}", call, once))
        return pending

    async def _run_tools(self, pending: Sequence[PendingCall]) -> None:
        """Runs the tools of a round. Calls and results are in the transcript, as the flow's own are."""
        for each in pending:
            self._record.call_requested(each.call)
        await self._tool_caller.run(pending)


def _tool_spec(offer: CommandTool) -> ToolSpec:
    spec = ToolSpec(name=offer.name, description=offer.description)
    spec.input_schema.CopyFrom(to_struct(offer.parameters))
    return spec


def _arguments(call: ToolCall) -> dict[str, object]:
    if call.arguments_json:
        return plain_from_json(call.arguments_json, "arguments_json")
    return to_plain(call.arguments)


def _calls(message: Message) -> list[ToolCall]:
    return [part.tool_call for part in message.parts if part.HasField("tool_call")]
