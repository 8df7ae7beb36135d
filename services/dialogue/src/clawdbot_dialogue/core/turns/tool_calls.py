"""Tool calls that happen once however often a turn is run: journal the intent, call, journal the result.

A call in the journal is not made again if its result is there. Nor is it if it has the effect `once`: then
its outcome is unknown. A call that an earlier turn made once, before it failed or was cancelled, counts as
made when the flow comes to the same call with the same arguments again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from clawdbot.common.v1.message_pb2 import ToolCall, ToolResult
from clawdbot.dialogue.v1.turn_pb2 import ToolCallRecord
from clawdbot.plugins.v1.tool_service_pb2 import (
    TOOL_EFFECT_NONE,
    TOOL_EFFECT_REPEATABLE,
    InvocationContext,
    InvokeToolRequest,
    ToolOutcome,
)
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.structs import TOO_DEEP, exact_json, path_too_deep, plain_from_json
from msgspec.structs import replace

from clawdbot_dialogue.core.sessions.records import JournalEntry, TurnTask
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.ports import ToolBox, ToolOutcomeUnknown, ToolRefused
from clawdbot_dialogue.core.turns.session_memory import SessionMemory
from clawdbot_dialogue.core.turns.turn_record import (
    NOT_FINISHED_MESSAGE,
    OUTCOME_UNKNOWN_MESSAGE,
    TurnRecord,
    error_result,
)

REPEATABLE_EFFECTS: Final = (TOOL_EFFECT_NONE, TOOL_EFFECT_REPEATABLE)
"""Effects that allow a second call. A tool that declares none counts as `once`."""


@dataclass(slots=True)
class PendingCall:
    """A call that is about to be made."""

    key: str
    """Its key in the journal: the same in every attempt."""
    call: ToolCall
    once: bool
    """Whether it has the effect `once`: a second call would act a second time."""
    digest: bytes = field(init=False)
    """Of tool and arguments."""

    def __post_init__(self) -> None:
        self.digest = call_digest(self.call)


class TurnJournal:
    """The journal of the current turn, and what earlier turns left in it."""

    def __init__(self, store: SessionStore, task: TurnTask, memory: SessionMemory) -> None:
        self._store = store
        self._lease = task.lease
        self._number = task.inbox_turn.turn.number
        self._attempts = task.inbox_turn.attempts
        self._memory = memory
        self._entries: dict[str, JournalEntry] = {}
        self._deferred: list[JournalEntry] = []
        self._loaded = False

    async def load(self) -> None:
        """Reads the session's journal from the store, the first time it is called, unless it is known."""
        if self._loaded or (self._attempts == 1 and self._memory.once_calls is not None):
            return
        self._loaded = True
        earlier: dict[str, JournalEntry] = {}
        for entry in await self._store.read_journal(self._lease.session_id):
            if entry.number == self._number:
                self._entries.setdefault(entry.key, entry)
            elif entry.number < self._number and entry.once:
                earlier[entry.key] = entry
        self._memory.once_calls = earlier

    def started_calls(self) -> list[ToolCallRecord]:
        """Returns every call that an earlier attempt at this turn journalled, with its outcome if known."""
        return [_outcome_of(entry) for entry in self._entries.values() if entry.digest]

    def get(self, key: str) -> JournalEntry | None:
        """Returns this turn's entry."""
        return self._entries.get(key)

    def get_earlier(self, key: str) -> JournalEntry | None:
        """Returns the last earlier turn's entry with the key, if that call had the effect `once`."""
        return (self._memory.once_calls or {}).get(key)

    def defer(self, entry: JournalEntry) -> None:
        """Adds an entry that only matters if another one follows it; it is written with the next one."""
        self._entries[entry.key] = entry
        self._deferred.append(entry)

    async def write(self, entries: Sequence[JournalEntry]) -> None:
        """Writes entries, and the deferred ones. Raises LeaseLost."""
        to_write, self._deferred = [*self._deferred, *entries], []
        await self._store.write_journal(self._lease, to_write)
        for entry in entries:
            self._entries[entry.key] = entry

    def intent(self, pending: PendingCall) -> JournalEntry:
        """Returns the entry that says that a call is about to be made."""
        call = ToolCallRecord(call=pending.call).SerializeToString()
        return JournalEntry(self._number, pending.key, pending.digest, pending.once, call)

    def outcome(self, pending: PendingCall, record: ToolCallRecord) -> JournalEntry:
        """Returns the entry that says how a call ended."""
        data = record.SerializeToString()
        return JournalEntry(self._number, pending.key, pending.digest, pending.once, data, done=True)

    @property
    def has_entries(self) -> bool:
        """Whether anything of this turn was, or is to be, written."""
        return bool(self._entries)

    def stale_keys(self) -> list[str]:
        """Returns the keys to delete if the turn fails: all but `once` calls that may have been made."""
        return [key for key, entry in self._entries.items() if not (entry.once and is_durable(entry))]

    def mark_not_made(self, intents: Sequence[JournalEntry]) -> None:
        """Marks calls as certainly not made, whether or not their intent was written in time."""
        for intent in intents:
            self._entries[intent.key] = replace(intent, once=False)


class ToolCaller:
    """Makes the tool calls of one attempt at one turn."""

    def __init__(
        self,
        tools: ToolBox,
        journal: TurnJournal,
        record: TurnRecord,
        context: InvocationContext,
        media: MediaPolicy,
    ) -> None:
        self._tools = tools
        self._journal = journal
        self._record = record
        self._context = context
        self._media = media
        self._sent: set[str] = set()

    async def run(self, calls: Sequence[PendingCall]) -> list[ToolCallRecord]:
        """Gives each call a result, from the journal or by making it. Returns them in the order of the calls.

        Raises:
            LeaseLost: another process holds the session's lease.
        """
        for pending in calls:
            self._record.call_started(pending.call)
        await self._journal.load()
        known = {pending.key: self._known_outcome(pending) for pending in calls}
        new = [pending for pending in calls if known[pending.key] is None]
        intents = [self._journal.intent(pending) for pending in new if not self._is_journalled(pending)]
        try:
            if intents:
                await self._journal.write(intents)
            return await self._run_all([(pending, known[pending.key]) for pending in calls])
        except asyncio.CancelledError:
            self._journal.mark_not_made([intent for intent in intents if intent.key not in self._sent])
            raise

    async def _run_all(
        self, calls: Sequence[tuple[PendingCall, ToolCallRecord | None]]
    ) -> list[ToolCallRecord]:
        if len(calls) == 1:
            return [await self._run_one(*calls[0])]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._run_one(*each)) for each in calls]
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _run_one(self, pending: PendingCall, known: ToolCallRecord | None) -> ToolCallRecord:
        record = known or await self._invoke(pending)
        self._record.call_finished(record)
        return record

    async def _invoke(self, pending: PendingCall) -> ToolCallRecord:
        call = pending.call
        record = ToolCallRecord(call=call)
        request = InvokeToolRequest(
            tool=call.name,
            arguments=call.arguments,
            arguments_json=call.arguments_json,
            request_id=f"{self._context.turn_id}/{pending.key}/{pending.digest[:8].hex()}",
            context=self._context,
        )
        self._sent.add(pending.key)
        self._record.call_sent(call, once=pending.once)
        try:
            outcome = _storable(await self._tools.invoke(request), self._media)
        except ToolRefused as error:
            record.result.CopyFrom(error_result(call, error.message))
            record.result.structured.update({"reason": error.reason})
        except ToolOutcomeUnknown as error:
            message = OUTCOME_UNKNOWN_MESSAGE if pending.once else error.message
            record.result.CopyFrom(error_result(call, message))
            record.result.structured.update({"reason": error.reason})
            record.outcome_unknown = pending.once
        else:
            record.result.CopyFrom(
                ToolResult(
                    call_id=call.id, name=call.name, content=outcome.content, is_error=outcome.is_error
                )
            )
            if outcome.HasField("structured"):
                record.result.structured.CopyFrom(outcome.structured)
                record.result.structured_json = outcome.structured_json
        try:
            await self._journal.write([self._journal.outcome(pending, record)])
        except asyncio.CancelledError:
            # The turn ends here, but the result is known.
            self._record.call_finished(record)
            raise
        return record

    def _is_journalled(self, pending: PendingCall) -> bool:
        entry = self._journal.get(pending.key)
        return entry is not None and entry.digest == pending.digest

    def _known_outcome(self, pending: PendingCall) -> ToolCallRecord | None:
        """The outcome of the call if the journal decides it; None if the call is to be made."""
        entry = self._journal.get(pending.key)
        if entry is not None and entry.digest == pending.digest:
            if entry.done:
                return _replay(entry, pending.call)
            return outcome_unknown_record(pending.call) if pending.once else None
        earlier = self._journal.get_earlier(pending.key)
        if earlier is None or not pending.once or earlier.digest != pending.digest:
            return None
        return _replay(earlier, pending.call) if earlier.done else outcome_unknown_record(pending.call)


def _storable(outcome: ToolOutcome, media: MediaPolicy) -> ToolOutcome:
    """Returns the outcome, which is stored with the turn: it must be possible to read the turn again.

    Media that the policy refuses are replaced by a text that says why.

    Raises:
        ToolOutcomeUnknown: the result is nested too deeply, or is no object, or contains a call or a result.
    """
    path = path_too_deep(outcome.structured, "result")
    if path is not None:
        raise ToolOutcomeUnknown("RESULT_TOO_DEEP", f"The tool's {path} {TOO_DEEP}")
    if outcome.structured_json:
        try:
            plain_from_json(outcome.structured_json, "structured_json")
        except InvalidRequest as error:
            raise ToolOutcomeUnknown("RESULT_INVALID", f"In the tool's result, {error}") from None
    if any(part.WhichOneof("content") in ("tool_call", "tool_result") for part in outcome.content):
        raise ToolOutcomeUnknown("RESULT_INVALID", "The tool returned a tool call or a tool result.")
    for part in outcome.content:
        refused = next(media.violations("result", part), None)
        if refused is not None:
            part.text = f"[left out: {refused.field} {refused.description}]"
    return outcome


def call_digest(call: ToolCall) -> bytes:
    """Returns a digest of tool and arguments: tells whether two calls are the same."""
    arguments = call.arguments.SerializeToString(deterministic=True)
    if call.arguments_json:
        # Only what the Struct rounds: the order of the keys makes no other call.
        arguments += exact_json(
            plain_from_json(call.arguments_json, "arguments_json"), call.arguments
        ).encode()
    return hashlib.sha256(call.name.encode() + b"\0" + arguments).digest()


def is_durable(entry: JournalEntry) -> bool:
    """Returns whether the call took place, or may have: True unless it definitely failed."""
    if not entry.done:
        return True
    record = ToolCallRecord.FromString(entry.record)
    return record.outcome_unknown or not record.result.is_error


def outcome_unknown_record(call: ToolCall) -> ToolCallRecord:
    """Returns the record of a call whose outcome a crash has hidden."""
    result = error_result(call, OUTCOME_UNKNOWN_MESSAGE)
    result.structured.update({"reason": "OUTCOME_UNKNOWN"})
    return ToolCallRecord(call=call, result=result, outcome_unknown=True)


def _outcome_of(entry: JournalEntry) -> ToolCallRecord:
    """The outcome of a journalled call in a turn that is not run again."""
    record = ToolCallRecord.FromString(entry.record)
    if entry.done:
        return record
    return (
        outcome_unknown_record(record.call)
        if entry.once
        else ToolCallRecord(call=record.call, result=error_result(record.call, NOT_FINISHED_MESSAGE))
    )


def _replay(entry: JournalEntry, call: ToolCall) -> ToolCallRecord:
    """The journalled outcome as that of `call`, which may have another id."""
    record = ToolCallRecord.FromString(entry.record)
    record.call.CopyFrom(call)
    record.result.call_id = call.id
    return record
