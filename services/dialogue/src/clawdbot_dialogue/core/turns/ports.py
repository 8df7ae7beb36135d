"""What the engine needs of the model gateway, the plugins and the process it lives in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, StreamGenerateResponse
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest, Tool, ToolOutcome


class PeerError(Exception):
    """Another service did not do what it was asked to."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        """UPPER_SNAKE, as in google.rpc.ErrorInfo."""
        self.message = message
        """One sentence."""
        super().__init__(f"{reason}: {message}")


class GenerationError(PeerError):
    """The model did not write, or not to the end."""


class ModelsUnknown(PeerError):
    """Which models there are cannot be learnt."""


class ToolRefused(PeerError):
    """The tool was certainly not run."""


class ToolOutcomeUnknown(PeerError):
    """The tool may have run; nobody knows what came of it."""


class ModelGateway(Protocol):
    """Writes replies."""

    def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamGenerateResponse, None]:
        """The events of a reply; `finished` is the last.

        MUST raise GenerationRefused where it ends otherwise. Closing it early MUST end the generation. The
        deadline of the running task holds.
        """


class ModelDirectory(Protocol):
    """Knows the models."""

    async def models(self) -> Collection[str]:
        """The aliases and targets that there are. MUST raise ModelsUnknown where that cannot be learnt."""


class ToolBox(Protocol):
    """Runs tools."""

    async def tools(self, names: Sequence[str]) -> Mapping[str, Tool]:
        """Those of the named tools that there are. MUST raise ToolRefused where that cannot be learnt."""

    async def invoke(self, request: InvokeToolRequest) -> ToolOutcome:
        """What a call came to; a tool's own failure is an outcome.

        MUST raise ToolRefused when the tool was certainly not run, and ToolLost when it may have been.
        Cancelling MUST end the call. The deadline of the running task holds.
        """


class TurnHooks(Protocol):
    """What plugins have to say about turns."""

    async def gate(self, subject: HookSubject) -> None:
        """Returns when the turn may happen; raises the refusal otherwise, for the caller to see."""

    def observe(self, subject: HookSubject) -> None:
        """Tells plugins; never waits, never raises."""


class LeaseOwners(Protocol):
    """Who may hold claims."""

    @property
    def me(self) -> str:
        """This engine's name; no other has it, nor had it before."""

    def gone(self, owner: str) -> bool:
        """Whether an owner is certainly dead; False where that cannot be known from here."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much a turn may take. Seconds where nothing else is said."""

    turn_timeout: float = 300.0
    """For one attempt at a turn, outgoing calls included."""
    lease_seconds: float = 30.0
    """How long a claim holds without being renewed."""
    inbox: int = 16
    """Unfinished turns of one session."""
    max_attempts: int = 5
    """After so many beginnings without an end a turn is given up, so that it cannot kill workers forever."""
    tool_rounds: int = 8
    """How often a model may call tools before it must answer."""
    history: int = 40
    """Messages of the transcript that a model is shown."""
    history_bytes: int = 1024 * 1024
    """Their size: it has to fit into one request to the gateway."""
    shutdown_grace: float = 5.0
    """How long turns may go on when the engine stops."""
    time_zone: tzinfo | None = None
    """What "tomorrow" is counted in; None for the machine's own zone."""
