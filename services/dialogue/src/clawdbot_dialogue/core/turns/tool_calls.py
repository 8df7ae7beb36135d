"""Tool calls that happen once however often a turn is run: intent journalled, called, result journalled.

A call found in the journal is not made again when its result is there, nor when it has the effect `once`:
then its outcome is unknown. What an earlier turn did once, before it failed or was cancelled, counts as done
when the flow comes to the same call with the same arguments again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from clawdbot.common.v1.message_pb2 import ToolCall, ToolResult
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord
from clawdbot.plugins.v1.tool_service_pb2 import InvocationContext, InvokeToolRequest
from msgspec.structs import replace

from clawdbot_dialogue.core.sessions.records import JournalEntry, Lease
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.ports import ToolBox, ToolOutcomeUnknown, ToolRefused
from clawdbot_dialogue.core.turns.turn_record import (
    NOT_FINISHED_MESSAGE,
    OUTCOME_UNKNOWN_MESSAGE,
    TurnRecord,
    error_result,
)


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call about to be made."""

    key: str
    """Its name in the journal: the same whenever the turn is run again."""
    call: ToolCall
    once: bool
    """Whether making it a second time would do it again."""


class TurnJournal:
    """What the turn under way has done outside, and what earlier ones left behind."""

    def __init__(self, store: SessionStore, claim: Lease, number: int) -> None:
        self._store = store
        self._claim = claim
        self._number = number
        self._mine: dict[str, JournalEntry] = {}
        self._earlier: dict[str, JournalEntry] = {}
        self._unwritten: list[JournalEntry] = []
        self._read = False

    async def load(self) -> None:
        """Learns what is kept of the session. Once is enough."""
        if self._read:
            return
        self._read = True
        for entry in await self._store.read_journal(self._claim.session_id):
            if entry.number == self._number:
                self._mine.setdefault(entry.key, entry)
            elif entry.number < self._number and entry.once:
                self._earlier[entry.key] = entry

    def started_calls(self) -> list[ToolCallRecord]:
        """Every call that an earlier attempt at this turn journalled, with what is known of its end."""
        return [_known_end(entry) for entry in self._mine.values() if entry.digest]

    def get(self, key: str) -> JournalEntry | None:
        """What an earlier attempt at this turn wrote."""
        return self._mine.get(key)

    def get_earlier(self, key: str) -> JournalEntry | None:
        """What the last turn before this one wrote at the same place, if the call had the effect `once`."""
        return self._earlier.get(key)

    def defer(self, entry: JournalEntry) -> None:
        """Keeps an entry to be written with the next one: what only matters once something follows it."""
        self._mine[entry.key] = entry
        self._unwritten.append(entry)

    async def write(self, entries: Sequence[JournalEntry]) -> None:
        """Writes entries, and those kept back, at once. Raises StaleClaim."""
        written, self._unwritten = [*self._unwritten, *entries], []
        await self._store.write_journal(self._claim, written)
        for entry in entries:
            self._mine[entry.key] = entry

    def intent(self, wanted: PendingCall) -> JournalEntry:
        """The intent of a call."""
        call = ToolCallRecord(call=wanted.call).SerializeToString()
        return JournalEntry(self._number, wanted.key, call_digest(wanted.call), wanted.once, call)

    @property
    def has_entries(self) -> bool:
        """Whether anything of this turn was, or is to be, written."""
        return bool(self._mine)

    def stale_keys(self) -> list[str]:
        """The keys that nobody needs once the turn has failed: all but what may have been done once."""
        return [key for key, entry in self._mine.items() if not (entry.once and is_durable(entry))]

    def mark_not_made(self, intents: Sequence[JournalEntry]) -> None:
        """Marks calls as certainly not made, whether or not their intent was written in time."""
        for intent in intents:
            self._mine[intent.key] = replace(intent, once=False)


class ToolCaller:
    """Makes the tool calls of one attempt at one turn."""

    def __init__(
        self, tools: ToolBox, journal: TurnJournal, record: TurnRecord, context: InvocationContext
    ) -> None:
        self._tools = tools
        self._journal = journal
        self._record = record
        self._context = context
        self._made: set[str] = set()

    async def run(self, wanted: Sequence[PendingCall]) -> list[ToolCallRecord]:
        """Has every call end with a result: from the journal, or by making it. In the order given.

        Raises:
            StaleClaim: another writer has the session.
        """
        for each in wanted:
            self._record.call_started(each.call)
        await self._journal.load()
        known = {each.key: self._known(each) for each in wanted}
        new = [each for each in wanted if known[each.key] is None]
        intents = [self._journal.intent(each) for each in new if not self._begun_before(each)]
        try:
            if intents:
                await self._journal.write(intents)
            return await self._all([(each, known[each.key]) for each in wanted])
        except asyncio.CancelledError:
            self._journal.mark_not_made([intent for intent in intents if intent.key not in self._made])
            raise

    async def _all(self, calls: Sequence[tuple[PendingCall, ToolCallRecord | None]]) -> list[ToolCallRecord]:
        if len(calls) == 1:
            return [await self._one(*calls[0])]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(*each)) for each in calls]
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, wanted: PendingCall, known: ToolCallRecord | None) -> ToolCallRecord:
        record = known or await self._invoke(wanted)
        self._record.call_finished(record)
        return record

    async def _invoke(self, wanted: PendingCall) -> ToolCallRecord:
        call = wanted.call
        record = ToolCallRecord(call=call)
        request = InvokeToolRequest(
            tool=call.name,
            arguments=call.arguments,
            request_id=f"{self._context.turn_id}/{wanted.key}/{call_digest(call)[:8].hex()}",
            context=self._context,
        )
        self._made.add(wanted.key)
        self._record.call_sent(call, once=wanted.once)
        try:
            outcome = await self._tools.invoke(request)
        except ToolRefused as refusal:
            record.result.CopyFrom(error_result(call, refusal.message))
            record.result.structured.update({"reason": refusal.reason})
        except ToolOutcomeUnknown as loss:
            record.result.CopyFrom(
                error_result(call, OUTCOME_UNKNOWN_MESSAGE if wanted.once else loss.message)
            )
            record.result.structured.update({"reason": loss.reason})
            record.outcome_unknown = wanted.once
        else:
            record.result.CopyFrom(
                ToolResult(
                    call_id=call.id, name=call.name, content=outcome.content, is_error=outcome.is_error
                )
            )
            if outcome.HasField("structured"):
                record.result.structured.CopyFrom(outcome.structured)
        done = replace(self._journal.intent(wanted), record=record.SerializeToString(), done=True)
        try:
            await self._journal.write([done])
        except asyncio.CancelledError:
            # The turn ends here, but not without what is known.
            self._record.call_finished(record)
            raise
        return record

    def _begun_before(self, wanted: PendingCall) -> bool:
        mine = self._journal.get(wanted.key)
        return mine is not None and mine.digest == call_digest(wanted.call)

    def _known(self, wanted: PendingCall) -> ToolCallRecord | None:
        """What became of the call before, where that decides what becomes of it now."""
        mine = self._journal.get(wanted.key)
        if mine is not None and mine.digest == call_digest(wanted.call):
            if mine.done:
                return _again(mine, wanted.call)
            return outcome_unknown_record(wanted.call) if wanted.once else None
        earlier = self._journal.get_earlier(wanted.key)
        if earlier is None or not wanted.once or earlier.digest != call_digest(wanted.call):
            return None
        return _again(earlier, wanted.call) if earlier.done else outcome_unknown_record(wanted.call)


def call_digest(call: ToolCall) -> bytes:
    """Tells whether two calls ask for the same."""
    arguments = call.arguments.SerializeToString(deterministic=True)
    return hashlib.sha256(call.name.encode() + b"\0" + arguments).digest()


def is_durable(entry: JournalEntry) -> bool:
    """Whether a call took place, or may have: everything but a definite failure."""
    if not entry.done:
        return True
    record = ToolCallRecord.FromString(entry.record)
    return record.outcome_unknown or not record.result.is_error


def outcome_unknown_record(call: ToolCall) -> ToolCallRecord:
    """The end of a call of which a crash hid the outcome."""
    result = error_result(call, OUTCOME_UNKNOWN_MESSAGE)
    result.structured.update({"reason": "OUTCOME_UNKNOWN"})
    return ToolCallRecord(call=call, result=result, outcome_unknown=True)


def _known_end(entry: JournalEntry) -> ToolCallRecord:
    """A call's end as the journal has it, for a turn that does not come to the call again."""
    record = ToolCallRecord.FromString(entry.record)
    if entry.done:
        return record
    return (
        outcome_unknown_record(record.call)
        if entry.once
        else ToolCallRecord(call=record.call, result=error_result(record.call, NOT_FINISHED_MESSAGE))
    )


def _again(entry: JournalEntry, call: ToolCall) -> ToolCallRecord:
    record = ToolCallRecord.FromString(entry.record)
    record.call.CopyFrom(call)
    record.result.call_id = call.id
    return record
