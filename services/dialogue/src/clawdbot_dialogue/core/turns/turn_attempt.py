"""One attempt at one turn: has the machine step and carries out what it wants, until it waits again."""

from __future__ import annotations

import asyncio

from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord, TurnError
from clawdbot.plugins.v1.tool_service_pb2 import TOOL_EFFECT_ONCE, InvocationContext
from clawdbot_servicekit import deadline
from clawdbot_servicekit.structs import to_plain, to_struct

from clawdbot_dialogue.core.machine import effects, events
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.sessions.records import TurnTask
from clawdbot_dialogue.core.turns.generation import Generation, TurnDependencies
from clawdbot_dialogue.core.turns.llm_commands import CommandGeneration
from clawdbot_dialogue.core.turns.ports import ToolRefused
from clawdbot_dialogue.core.turns.step_loop import StepLoop
from clawdbot_dialogue.core.turns.tool_calls import PendingCall, ToolCaller, TurnJournal
from clawdbot_dialogue.core.turns.turn_record import TurnRecord


class TurnAttempt:
    """Drives the machine through one turn."""

    def __init__(
        self, means: TurnDependencies, flows: FlowLookup, work: TurnTask, record: TurnRecord
    ) -> None:
        self.journal = TurnJournal(means.store, work.lease, work.inbox_turn.turn.number)
        self.failure: TurnError | None = None
        """Set when the machine itself says that it failed."""
        self._means = means
        self._flows = flows
        self._work = work
        self._record = record

    async def replay_journal(self) -> None:
        """Tells of what earlier attempts did outside, for a turn that is not begun again."""
        await self.journal.load()
        for call in self.journal.started_calls():
            self._record.call_requested(call.call)
            self._record.call_started(call.call)
            self._record.call_finished(call)

    async def run(self, snapshot: Snapshot, event: events.Event) -> Snapshot:
        """The snapshot after the turn.

        Raises:
            TimeoutError: the task's deadline is over.
            StaleClaim: another writer has the session.
            FlowNotFound, SnapshotInvalid: the flow, or the session's state in it, is not there any more.
        """
        if self._work.inbox_turn.attempts > 1:
            async with asyncio.timeout(deadline.remaining()):
                await self.journal.load()
        loop = StepLoop(self._flows, self._record, snapshot, event)
        while (effect := loop.next_effect()) is not None:
            # A turn that only records its effects needs no timer.
            async with asyncio.timeout(deadline.remaining()):
                outcome = await self._carry_out(effect, loop.snapshot)
            if outcome is not None:
                loop.add_event(outcome)
        return loop.snapshot

    async def _carry_out(self, effect: effects.Effect, snapshot: Snapshot) -> events.Event | None:
        if isinstance(effect, effects.CallTool):
            return await self._call(effect, snapshot)
        if isinstance(effect, effects.Generate):
            generation = Generation(self._means, effect, self._record, self.journal, self._calls(snapshot))
            return await generation.run()
        if isinstance(effect, effects.Interpret):
            calls = self._calls(snapshot)
            return await CommandGeneration(self._means, effect, self._record, self.journal, calls).run()
        if isinstance(effect, effects.Failed):
            self.failure = TurnError(reason=effect.reason, message=effect.message)
        return None

    async def _call(self, effect: effects.CallTool, snapshot: Snapshot) -> events.ToolReturned:
        """A call that the flow itself makes."""
        call = ToolCall(
            id=f"t{self._record.turn.number}-{effect.call_id}",
            name=effect.tool,
            arguments=to_struct(effect.arguments),
        )
        self._record.call_requested(call)
        once = effect.effect == "once" or await self._is_once(effect.tool)
        wanted = PendingCall(effect.call_id, call, once)
        (record,) = await self._calls(snapshot).run([wanted])
        return events.ToolReturned(
            effect.call_id, tool_result_value(record), record.result.is_error, record.outcome_unknown
        )

    async def _is_once(self, name: str) -> bool:
        """Whether the tool itself says that it must not run twice, whatever the flow says."""
        try:
            tools = await self._means.tools.tools([name])
        except ToolRefused:
            return False  # the call itself will tell why
        return name in tools and tools[name].effect == TOOL_EFFECT_ONCE

    def _calls(self, snapshot: Snapshot) -> ToolCaller:
        turn = self._record.turn
        context = InvocationContext(
            session_id=turn.session_id, turn_id=turn.id, flow=snapshot.flow, state=snapshot.state
        )
        return ToolCaller(self._means.tools, self.journal, self._record, context)


def tool_result_value(record: ToolCallRecord) -> dict[str, object]:
    """What guards and templates see as `result`: the structured result; its words, if any, under `text`."""
    texts = [part.text for part in record.result.content if part.WhichOneof("content") == "text"]
    shown: dict[str, object] = {"text": "\n".join(texts)} if texts else {}
    return {**shown, **to_plain(record.result.structured)}
