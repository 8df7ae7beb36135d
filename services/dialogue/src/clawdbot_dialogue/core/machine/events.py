"""What can happen to a conversation: the machine's inputs.

Frozen and JSON-able, so that a conversation can be written down and replayed. The driver (the turn engine,
the conversation runner) makes them; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from clawdbot_dialogue.core.machine.effects import Heard
from clawdbot_dialogue.core.understanding.llm_commands import Proposal


class Started(Struct, frozen=True):
    """The first event of a session: enters the flow's initial state. Given again later it is ignored."""


class UserSaid(Struct, frozen=True):
    """A person's message; what it means is worked out in the step, by rules, from `text` and `now` alone."""

    text: str
    """The text parts of the message, joined by line breaks."""
    now: datetime
    """When it was said, in the person's time zone where that is known (the tzinfo itself is not read): it
    decides what "tomorrow" means."""


class EventReceived(Struct, frozen=True):
    """Something that nobody said: a payment, an agent's return ("handoff.return")."""

    name: str
    data: Mapping[str, object]
    now: datetime


class ToolReturned(Struct, frozen=True):
    """The end of the call that the last CallTool began. A call_id that is not waited for is ignored."""

    call_id: str
    result: object
    """The JSON value that guards and templates see as `result`; for an error, what is known about it."""
    is_error: bool
    unknown: bool = False
    """True when a crash hid whether the call took place; takes the `on_error: unknown` (or `any`)
    transition."""


class GenerationFinished(Struct, frozen=True):
    """The model has written its reply. The driver showed it already; the machine never repeats it."""

    generation_id: str
    text: str


class GenerationFailed(Struct, frozen=True):
    """The model could not write: takes the state's `on_error`, or apologises and waits."""

    generation_id: str
    reason: str
    """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
    message: str


class Interpreted(Struct, frozen=True):
    """The model has said what a message means: proposals, which the machine checks."""

    interpretation_id: str
    proposals: tuple[Proposal, ...]
    heard: Heard
    """As the effect had it."""


class InterpretationFailed(Struct, frozen=True):
    """The model could not say what a message means: what the rules understood stands."""

    interpretation_id: str
    reason: str
    """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
    message: str
    heard: Heard
    """As the effect had it."""


class TimerFired(Struct, frozen=True):
    """A timer is due. One that is not set any more is ignored, so a late one does no harm."""

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
