"""The machine's inputs: the events that can happen to a conversation.

They are immutable and JSON-serializable, so that a conversation can be recorded and replayed. The driver (the
turn engine or the test runner) creates them; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from clawdbot_dialogue.core.machine.effects import PendingMessage
from clawdbot_dialogue.core.understanding.llm_commands import Proposal


class Started(Struct, frozen=True):
    """The first event of a session: enters the flow's initial state. Ignored if it is sent again."""


class UserSaid(Struct, frozen=True):
    """A message from the person. The step interprets it by rules, from its fields and the snapshot alone."""

    text: str
    """The text parts of the message, joined by line breaks."""
    now: datetime
    """When it was said, in the person's time zone if that is known (the tzinfo itself is not used). Decides
    what "tomorrow" means."""


class EventReceived(Struct, frozen=True):
    """An event that is not a message: a payment, or the return from a human agent ("handoff.return")."""

    name: str
    data: Mapping[str, object]
    now: datetime


class ToolReturned(Struct, frozen=True):
    """The result of the call that the last CallTool started. An unexpected call_id is ignored."""

    call_id: str
    result: object
    """The JSON value that guards and templates see as `result`; for an error, its details."""
    is_error: bool
    unknown: bool = False
    """True if it is unknown, because of a crash, whether the call was executed; takes the `on_error: unknown`
    (or `any`) transition."""


class GenerationFinished(Struct, frozen=True):
    """The model finished its reply. The driver has already shown it; the machine does not repeat it."""

    generation_id: str
    text: str


class GenerationFailed(Struct, frozen=True):
    """The model did not reply: takes the state's `on_error` transition, or apologizes and waits."""

    generation_id: str
    reason: str
    """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
    message: str


class Interpreted(Struct, frozen=True):
    """The model interpreted a message: it proposes commands, which the machine validates."""

    interpretation_id: str
    proposals: tuple[Proposal, ...]
    pending_message: PendingMessage
    """The message of the Interpret effect, unchanged."""


class InterpretationFailed(Struct, frozen=True):
    """The model did not interpret a message: the commands of the rules apply."""

    interpretation_id: str
    reason: str
    """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
    message: str
    pending_message: PendingMessage
    """The message of the Interpret effect, unchanged."""


class TimerFired(Struct, frozen=True):
    """A timer is due. A timer that is no longer set is ignored, so a late event does no harm."""

    timer_id: str
    now: datetime


Event: TypeAlias = (
    Started
    | UserSaid
    | EventReceived
    | ToolReturned
    | GenerationFinished
    | GenerationFailed
    | Interpreted
    | InterpretationFailed
    | TimerFired
)
