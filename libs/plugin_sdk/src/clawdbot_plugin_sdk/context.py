"""What a running tool or hook receives: who it runs for, the time, and its plugin's own state."""

from __future__ import annotations

import datetime as dt
import re
import time
import zoneinfo
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

State = TypeVar("State", default=Any)
"""What the plugin's lifespan yielded."""
Settings = TypeVar("Settings", default=Any)
"""The plugin's settings model; None if the plugin has no settings."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a tool has got."""

    fraction: float | None
    """0 to 1; None if unknown."""
    message: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of a tool's result, sent before the result is complete."""

    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image, audio clip or document that accompanies a tool's result."""

    data: bytes
    media_type: str
    """IANA media type, such as image/png. It decides which of the three it is."""
    title: str = ""
    """For a document."""

    def __post_init__(self) -> None:
        """Raises ValueError if the data is empty or the media type is malformed."""
        if not self.data:
            raise ValueError("an attachment needs data")
        if not _MEDIA_TYPE_PATTERN.fullmatch(self.media_type):
            raise ValueError(f"{self.media_type!r} is not a media type (example: image/png)")


_MEDIA_TYPE_PATTERN = re.compile(
    r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}(?: *;[ -~]{0,200})?", re.ASCII
)
"""The names of https://www.rfc-editor.org/rfc/rfc6838#section-4.2, with optional parameters."""


async def _discard(_event: Progress | Partial) -> None:
    """The default for `Context.emit`: nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Generic[State]):
    """The context of one call. In a plugin's own tests, construct it with what the test needs."""

    state: State = None  # type: ignore[assignment]  # a plugin without a lifespan has none
    """What the plugin's lifespan yielded; None if it has no lifespan."""
    request_id: str = ""
    """The caller's idempotency key. It stays the same when a call is retried."""
    tenant: str = "default"
    key_id: str = ""
    """Public part of the API key of the call; empty if keys are not used."""
    session_id: str = ""
    turn_id: str = ""
    flow: str = ""
    flow_state: str = ""
    """The flow's state that the conversation is in."""
    locale: str = ""
    """BCP 47 tag of the conversation's language; empty if unknown."""
    time_zone: str = "UTC"
    """IANA name. It is validated before the context is constructed."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    missed: int = 0
    """For an observe hook: events dropped since the last one it received, because its queue was full."""
    emit: Callable[[Progress | Partial], Awaitable[None]] = _discard
    """Receives progress and partial output."""
    attached: list[Attachment] = field(default_factory=list)
    """What the running tool has attached so far. Each run starts with an empty list."""

    def now(self) -> dt.datetime:
        """The current time in the caller's time zone."""
        return dt.datetime.fromtimestamp(self.clock(), zoneinfo.ZoneInfo(self.time_zone))

    async def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Reports progress to the caller. Never waits for the caller: a slow reader gets only the latest.

        Args:
            fraction: 0 to 1; None if unknown. Other values raise ValueError.
            message: a few words for a person.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress must be from 0 to 1, not {fraction}")
        await self.emit(Progress(fraction, message))

    async def partial(self, text: str) -> None:
        """Sends a piece of the result early. ToolError once the pieces exceed the maximum result size."""
        await self.emit(Partial(text))

    def attach(self, data: bytes, media_type: str, title: str = "") -> None:
        """Shows the model an image, audio clip or document along with what the tool returns.

        It counts towards the maximum result size, and is dropped if the tool fails.

        Args:
            data: the file's bytes.
            media_type: IANA media type, such as image/png. ValueError if it is malformed.
            title: for a document.
        """
        self.attached.append(Attachment(data, media_type, title))


@dataclass(frozen=True, slots=True, kw_only=True)
class LifespanContext(Generic[Settings]):
    """What a plugin's lifespan receives at start."""

    settings: Settings = None  # type: ignore[assignment]  # a plugin without settings gets none
    folder: Path = Path()
    """The plugin's own folder for persistent data. It exists and is closed to other users."""
    workers: int = 1
    """Processes on this machine that run the plugin at the same time and share the folder."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
