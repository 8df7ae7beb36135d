"""The turn engine's ports: models, tools and hooks, as the engine uses them, and the limits of a turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Protocol

from clawdbot.model_gateway.v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest, Tool, ToolOutcome
from clawdbot_servicekit.media_policy import MediaPolicy

from clawdbot_dialogue.core.sessions.store import SessionStore


class PeerError(Exception):
    """Another service did not do what it was asked to do."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
        self.message = message
        """One sentence."""
        super().__init__(f"{reason}: {message}")


class GenerationError(PeerError):
    """The model gave no reply, or an incomplete one."""


class ModelsUnknown(PeerError):
    """The gateway cannot be asked which models exist."""


class ToolRefused(PeerError):
    """The tool was certainly not run."""


class ToolOutcomeUnknown(PeerError):
    """The tool may have been run; its outcome is not known."""


class ModelGateway(Protocol):
    """Generates replies."""

    async def stream(
        self, request: StreamGenerateRequest, take: Callable[[StreamGenerateResponse], None]
    ) -> None:
        """Has the events of a reply taken as they come; `finished` is the last one.

        MUST raise GenerationError if the reply ends in any other way. Cancelling it MUST end the generation.
        The deadline of the running task applies.
        """


class ModelDirectory(Protocol):
    """Lists models."""

    async def models(self) -> Collection[str]:
        """Returns all aliases and targets. MUST raise ModelsUnknown if it cannot."""


class ToolBox(Protocol):
    """Lists and runs tools."""

    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        """Returns the named tools that exist. MUST raise ToolRefused if it cannot."""

    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        """Runs a tool and returns its outcome. An error of the tool itself is an outcome, too.

        MUST raise ToolRefused if the tool was certainly not run, and ToolOutcomeUnknown if it may have been.
        Cancelling MUST end the call. The deadline of the running task applies.
        """


class TurnHooks(Protocol):
    """The plugins' hooks on turns."""

    async def gate(self, subject: HookSubject) -> None:
        """Returns if the turn is allowed; otherwise raises the refusal, which the caller sees."""

    def observes(self, point: str) -> bool:
        """Returns whether a plugin may want events of the point."""

    def observe(self, subject: HookSubject) -> None:
        """Tells the plugins. MUST NOT wait or raise."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Limits of turns. Times are in seconds."""

    turn_timeout: float = 300.0
    """For one attempt at a turn, outgoing calls included."""
    lease_seconds: float = 30.0
    """How long a lease lasts unless it is renewed."""
    inbox: int = 16
    """Unfinished turns of one session."""
    max_attempts: int = 5
    """A turn that was started so often without an end fails, so that it cannot kill workers forever."""
    tool_rounds: int = 8
    """How often a model may call tools before it must reply."""
    history: int = 40
    """Messages of the transcript that a model is shown."""
    history_bytes: int = 1024 * 1024
    """Size of those messages: they have to fit in one request to the gateway."""
    media: MediaPolicy = field(default_factory=MediaPolicy)
    """Which images, audio and documents models are shown."""
    shutdown_grace: float = 5.0
    """How long turns may run on when the engine stops."""
    time_zone: tzinfo | None = None
    """The zone of "tomorrow"; None for the machine's own."""


@dataclass(frozen=True, slots=True)
class TurnDependencies:
    """What every turn needs."""

    store: SessionStore
    gateway: ModelGateway
    tools: ToolBox
    limits: TurnLimits
