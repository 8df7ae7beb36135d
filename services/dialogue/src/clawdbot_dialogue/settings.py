"""The dialogue service's settings: the shared sections, and those of its own."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Any, ClassVar, Literal

from clawdbot_servicekit.settings import Bytes, ConfigPath, Seconds, Section, SharedSettings, Wait, Whole
from clawdbot_servicekit.settings.media import MediaSettings
from clawdbot_servicekit.settings.suite import PORTS
from pydantic import BeforeValidator, Field, field_validator


def _as_list(value: Any) -> Any:
    """One path stands for a list of one."""
    return (value,) if isinstance(value, str) else value


class StoresSettings(Section):
    """Where durable data is kept."""

    dialogue: Literal["sqlite", "memory"] | ConfigPath = "sqlite"
    """Sessions: "sqlite" (a file under state_dir), the path of a SQLite file, or "memory", which is lost with
    the process and works with one worker only."""

    @field_validator("dialogue", mode="before")
    @classmethod
    def _reject_address(cls, value: Any) -> Any:
        if isinstance(value, str) and ("://" in value or not value):
            raise ValueError("expected sqlite, memory, or the path of a SQLite file")
        return value


class DialogueSection(Section):
    """Limits of sessions and turns."""

    turn_timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long one turn may take, tools and models included."""
    lease: Annotated[Wait, Field(ge=1)] = 30.0
    """How long an unresponsive worker keeps its sessions from the others."""
    inbox: Annotated[Whole, Field(ge=1, le=10_000)] = 16
    """How many turns of one session may be unfinished; more are refused."""
    attempts: Annotated[Whole, Field(ge=1, le=1000)] = 5
    """How often a turn is started, by workers that died during it, before it fails."""
    tool_rounds: Annotated[Whole, Field(ge=0, le=1000)] = 8
    """How often a model may call tools before it must reply."""
    history: Annotated[Whole, Field(ge=1, le=10_000)] = 40
    """How many messages of the conversation a model is shown."""
    history_bytes: Annotated[Bytes, Field(ge=1024)] = 1024 * 1024
    """Size of those messages."""
    max_text: Annotated[Bytes, Field(ge=1)] = 32 * 1024
    """Size of the text of one input."""
    max_input: Annotated[Bytes, Field(ge=1)] = 2 * 1024 * 1024
    """Size of one input, with images and other media; keep it below server.max_message."""
    max_slots: Annotated[Bytes, Field(ge=1)] = 64 * 1024
    """Size of the slots in CreateSession, and of an event's data."""
    max_labels: Annotated[Whole, Field(ge=0, le=10_000)] = 64
    """Labels of one session."""
    max_flow: Annotated[Bytes, Field(ge=1)] = 512 * 1024
    """Size of a flow's source in ValidateFlow and DeployFlow."""
    time_zone: str = ""
    """The zone of "tomorrow", such as Europe/London; empty for the machine's own."""

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, name: str) -> str:
        try:
            if name:
                zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected the name of a time zone, such as Europe/London") from None
        return name


class DialogueSettings(SharedSettings):
    """The settings of the dialogue service."""

    default_port: ClassVar[int] = PORTS["dialogue"]

    flows: Annotated[tuple[ConfigPath, ...], BeforeValidator(_as_list)] = ()
    """Folders of flows, or single files, in addition to the flows that come with the service."""
    stores: StoresSettings = StoresSettings()
    dialogue: DialogueSection = DialogueSection()
    media: MediaSettings = MediaSettings()
