"""One attempt at one turn: drives the machine and carries out its effects, until it waits for the person."""

from __future__ import annotations

import asyncio

from clawdbot.common.v1.message_pb2 import ToolCall, ToolResult
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord, TurnError
from clawdbot.plugins.v1.tool_service_pb2 import TOOL_EFFECT_ONCE, InvocationContext
from clawdbot_servicekit import deadline
from clawdbot_servicekit.structs import exact_json, plain_from_json, to_plain, to_struct

from clawdbot_dialogue.core.machine import effects, events
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.sessions.records import TurnTask
from clawdbot_dialogue.core.turns.generation import Generation
from clawdbot_dialogue.core.turns.llm_commands import CommandGeneration
from clawdbot_dialogue.core.turns.ports import ToolRefused, TurnDependencies
from clawdbot_dialogue.core.turns.session_memory import SessionMemory
from clawdbot_dialogue.core.turns.step_loop import StepLoop
from clawdbot_dialogue.core.turns.tool_calls import PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord, error_result


class TurnAttempt:
    """Runs one turn once."""

    def __init__(
        self,
        dependencies: TurnDependencies,
        flows: FlowLookup,
        task: TurnTask,
        record: TurnRecord,
        memory: SessionMemory,
    ) -> None:
        self.journal = TurnJournal(dependencies.store, task, memory)
        self.error: TurnError | None = None
        """Set if the machine itself says that the turn failed."""
        self._dependencies = dependencies
        self._flows = flows
        self._task = task
        self._record = record
        self._history = memory.history

    async def replay_journal(self) -> None:
        """Records the calls of earlier attempts, for a turn that is not run again."""
        await self.journal.load()
        for call_record in self.journal.started_calls():
            self._record.call_requested(call_record.call)
            self._record.call_started(call_record.call)
            self._record.call_finished(call_record)

    async def run(self, snapshot: Snapshot, event: events.Event) -> Snapshot:
        """Runs the turn and returns the snapshot after it.

        Raises:
            TimeoutError: the running task's deadline has passed.
            LeaseLost: another process holds the session's lease.
            FlowNotFound: a flow of the session is not installed in its version.
            SnapshotInvalid: the flow does not have the state that the session is in.
        """
        if self._task.inbox_turn.attempts > 1:
            async with asyncio.timeout(deadline.remaining()):
                await self.journal.load()
        loop = StepLoop(self._flows, self._record, snapshot, event)
        while (effect := loop.next_effect()) is not None:
            # Set here, so that a turn that only records effects pays for no timeout.
            async with asyncio.timeout(deadline.remaining()):
                outcome = await self._carry_out(effect, loop.snapshot)
            if outcome is not None:
                loop.add_event(outcome)
        return loop.snapshot

    async def _carry_out(self, effect: effects.Effect, snapshot: Snapshot) -> events.Event | None:
        if isinstance(effect, effects.CallTool):
            return await self._call_tool(effect, snapshot)
        if isinstance(effect, effects.Generate):
            caller = self._tool_caller(snapshot)
            generation = Generation(
                self._dependencies, effect, self._record, self.journal, caller, history=self._history
            )
            return await generation.run()
        if isinstance(effect, effects.Interpret):
            caller = self._tool_caller(snapshot)
            commands = CommandGeneration(
                self._dependencies, effect, self._record, self.journal, caller, history=self._history
            )
            return await commands.run()
        if isinstance(effect, effects.Failed):
            self.error = TurnError(reason=effect.reason, message=effect.message)
        return None

    async def _call_tool(self, effect: effects.CallTool, snapshot: Snapshot) -> events.ToolReturned:
        """Makes a call of the flow itself."""
        call = ToolCall(id=f"t{self._record.turn.number}-{effect.call_id}", name=effect.tool)
        try:
            arguments = to_struct(effect.arguments)
        except ValueError as error:
            return self._refuse_call(effect, call, f"The call cannot be made: {error}.")
        call.arguments.CopyFrom(arguments)
        call.arguments_json = exact_json(effect.arguments, arguments)
        self._record.call_requested(call)
        once = effect.effect == "once" or await self._is_once(effect.tool)
        pending = PendingCall(effect.call_id, call, once)
        (record,) = await self._tool_caller(snapshot).run([pending])
        return events.ToolReturned(
            effect.call_id, tool_result_value(record), record.result.is_error, record.outcome_unknown
        )

    def _refuse_call(self, effect: effects.CallTool, call: ToolCall, explanation: str) -> events.ToolReturned:
        """Records a call of the flow that no message can carry, as one that failed."""
        record = ToolCallRecord(call=call, result=error_result(call, explanation))
        self._record.call_requested(call)
        self._record.call_started(call)
        self._record.call_finished(record)
        return events.ToolReturned(effect.call_id, tool_result_value(record), is_error=True)

    async def _is_once(self, name: str) -> bool:
        """Whether the tool itself has the effect `once`, whatever the flow says."""
        try:
            tools = await self._dependencies.tools.tools([name])
        except ToolRefused:
            return False  # the call itself will say why
        return name in tools and tools[name].effect == TOOL_EFFECT_ONCE

    def _tool_caller(self, snapshot: Snapshot) -> ToolCaller:
        turn = self._record.turn
        context = InvocationContext(
            session_id=turn.session_id, turn_id=turn.id, flow=snapshot.flow, state=snapshot.state
        )
        dependencies = self._dependencies
        return ToolCaller(dependencies.tools, self.journal, self._record, context, dependencies.limits.media)


def tool_result_value(record: ToolCallRecord) -> dict[str, object]:
    """Returns what guards and templates see as `result`: the structured result, with any text as `text`."""
    texts = [part.text for part in record.result.content if part.WhichOneof("content") == "text"]
    shown: dict[str, object] = {"text": "\n".join(texts)} if texts else {}
    return {**shown, **_structured(record.result)}


def _structured(result: ToolResult) -> dict[str, object]:
    if result.structured_json:
        return plain_from_json(result.structured_json, "structured_json")
    return to_plain(result.structured)
