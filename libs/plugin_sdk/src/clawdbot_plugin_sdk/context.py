"""What a running tool or hook is told: on whose behalf it runs, the time, and its plugin's own state."""

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
"""The plugin's settings model; None where it has none."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a tool is."""

    fraction: float | None
    """0 to 1; None where unknown."""
    message: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of a tool's result, before it is whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture, a sound or a document that goes with a tool's result."""

    data: bytes
    media_type: str
    """IANA media type, such as image/png: it says which of them it is."""
    title: str = ""
    """Of a document."""

    def __post_init__(self) -> None:
        """Raises ValueError for what no model could be shown."""
        if not self.data:
            raise ValueError("an attachment needs data")
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError(f"{self.media_type!r} is no media type, such as image/png")


_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*(?: *;[^\r\n]*)?", re.ASCII)
"""As in https://www.rfc-editor.org/rfc/rfc6838#section-4.2, and parameters."""


async def _nobody_listens(_news: Progress | Partial) -> None:
    """Where progress goes unless the service says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Generic[State]):
    """One call. In a plugin's own tests, make it with what the test needs."""

    state: State = None  # type: ignore[assignment]  # a plugin without a lifespan has none
    """What the plugin's lifespan yielded; None where it has no lifespan."""
    request_id: str = ""
    """The caller's idempotency key. It stays the same when a call is repeated."""
    tenant: str = "default"
    key_id: str = ""
    """Public part of the key that the call came in with; empty where keys are not used."""
    session_id: str = ""
    turn_id: str = ""
    flow: str = ""
    flow_state: str = ""
    """The state of the flow that the conversation is in."""
    locale: str = ""
    """BCP 47 tag of the conversation's language; empty where unknown."""
    time_zone: str = "UTC"
    """IANA name; whoever makes the context has checked it."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    missed: int = 0
    """For an observe hook: events that it was not told since the last one, because it could not keep up."""
    emit: Callable[[Progress | Partial], Awaitable[None]] = _nobody_listens
    """Where progress and partial output go."""
    attached: list[Attachment] = field(default_factory=list)
    """What the running tool has attached so far; each run begins with none."""

    def now(self) -> dt.datetime:
        """The time, in the caller's time zone."""
        return dt.datetime.fromtimestamp(self.clock(), zoneinfo.ZoneInfo(self.time_zone))

    async def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Tells the caller how far the work is. Never waits for it: a slow reader is told the latest.

        Args:
            fraction: 0 to 1; None where unknown. ValueError outside.
            message: a few words for a person.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress is from 0 to 1, not {fraction}")
        await self.emit(Progress(fraction, message))

    async def partial(self, text: str) -> None:
        """Sends a piece of the result ahead. ToolError once all of them are larger than a result may be."""
        await self.emit(Partial(text))

    def attach(self, data: bytes, media_type: str, title: str = "") -> None:
        """Has the model shown a picture, a sound or a document beside what the tool returns.

        It counts to the size that a result may have, and is dropped where the tool fails.

        Args:
            data: the file.
            media_type: IANA media type, such as image/png. ValueError for what is none.
            title: of a document.
        """
        self.attached.append(Attachment(data, media_type, title))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch(Generic[Settings]):
    """What a plugin is given when it starts."""

    settings: Settings = None  # type: ignore[assignment]  # a plugin without settings gets none
    folder: Path = Path()
    """For what must outlive the process: the plugin's own, there already, closed to other users."""
    workers: int = 1
    """Processes of this machine that run the plugin side by side, with one folder."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
