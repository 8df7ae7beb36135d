"""What the dialogue service is told: the shared sections and its own three."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Any, ClassVar, Literal

from clawdbot_servicekit.settings import Bytes, ConfigPath, Seconds, Section, SharedSettings
from clawdbot_servicekit.settings.suite import PORTS
from pydantic import BeforeValidator, Field, field_validator


def _listed(given: Any) -> Any:
    """One path stands for a list of one."""
    return (given,) if isinstance(given, str) else given


class StoresSettings(Section):
    """Where what must be kept is kept."""

    dialogue: Literal["sqlite", "memory"] | ConfigPath = "sqlite"
    """Sessions: "sqlite" (a file under state_dir), the path of a SQLite file, or "memory", which forgets them
    with the process and is for one worker only."""

    @field_validator("dialogue", mode="before")
    @classmethod
    def _no_address(cls, given: Any) -> Any:
        if isinstance(given, str) and ("://" in given or not given):
            raise ValueError("expected sqlite, memory, or the path of a SQLite file")
        return given


class DialogueSection(Section):
    """Limits of sessions and turns."""

    turn_timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long one turn may take, tools and models included."""
    claim: Annotated[Seconds, Field(ge=1)] = 30.0
    """How long a worker that no longer gives a sign of life keeps its sessions from the others."""
    inbox: Annotated[int, Field(ge=1)] = 16
    """Unfinished turns of one session; more are refused."""
    attempts: Annotated[int, Field(ge=1)] = 5
    """How often a turn is begun, by workers that died over it, before it is given up."""
    tool_rounds: Annotated[int, Field(ge=0)] = 8
    """How often a model may call tools before it has to answer."""
    history: Annotated[int, Field(ge=1)] = 40
    """Messages of the conversation that a model is shown."""
    history_bytes: Annotated[Bytes, Field(ge=1024)] = 1024 * 1024
    """Their size."""
    max_text: Annotated[Bytes, Field(ge=1)] = 32 * 1024
    """Longest text of one input."""
    max_input: Annotated[Bytes, Field(ge=1)] = 2 * 1024 * 1024
    """Largest input, with images and the like; below server.max_message."""
    max_slots: Annotated[Bytes, Field(ge=1)] = 64 * 1024
    """Largest slots of CreateSession, and largest data of an event."""
    max_labels: Annotated[int, Field(ge=0)] = 64
    """Labels of one session."""
    max_flow: Annotated[Bytes, Field(ge=1)] = 512 * 1024
    """Largest source of a flow that ValidateFlow reads."""
    time_zone: str = ""
    """What "tomorrow" is counted in, such as Europe/London; left out: the machine's own."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            if name:
                zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected the name of a time zone, such as Europe/London") from None
        return name


class DialogueSettings(SharedSettings):
    """The dialogue service's settings."""

    default_port: ClassVar[int] = PORTS["dialogue"]

    flows: Annotated[tuple[ConfigPath, ...], BeforeValidator(_listed)] = ()
    """Folders of flows, or single files, besides those that come with the service."""
    stores: StoresSettings = StoresSettings()
    dialogue: DialogueSection = DialogueSection()
