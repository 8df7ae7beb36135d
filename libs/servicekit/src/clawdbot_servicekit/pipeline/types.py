"""The types that the pipeline's parts share, and what all methods of a server have in common."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio

from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.call_record import CallRecord
from clawdbot_servicekit.caller import Caller

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Context], Awaitable[Any]]
"""Handles a call: returns the response of a unary RPC, or writes the responses of a streaming one."""
Identify = Callable[[Iterable[tuple[str, str | bytes]], str, Callable[[], str]], Caller]
"""(metadata, "/package.Service/Method", context.peer) → the caller; raises ServiceErrors."""
Observe = Callable[[CallRecord], None]
"""Called with every finished call; must not block."""

Request = Callable[[Any, Context], Awaitable[Any]]
"""(the stream of requests, or the bytes of a single one; context) → what the method takes; called once the
call is admitted."""

Encode = Callable[[Any], bytes]
"""A message of the response → its bytes; raises ResponseTooLarge."""

NEVER: Final = 1e9
"""Seconds: a deadline that is further away counts as none. Where the caller set none, the native engine
reports a huge number."""


class TrustedContext:
    """A servicer context whose caller is known already; a mixin of the in-process one."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in seconds."""

    default: float
    """For callers that set no deadline; `maximum` where that is shorter."""
    maximum: float
    """For all callers."""

    def clamp(self, requested: float | None) -> float:
        """How long a call may take whose caller set this deadline."""
        if requested is None or requested > NEVER:
            requested = self.default
        return min(requested, self.maximum)


class Pipeline:
    """What all methods of a server have in common."""

    def __init__(
        self,
        admission: Admission,
        identify: Identify,
        deadlines: Deadlines,
        observe: Observe,
        max_response: int = sys.maxsize,
    ) -> None:
        """Args: max_response: bytes of a response, or of one message of a stream, at most."""
        self.admission = admission
        self.identify = identify
        self.deadlines = deadlines
        self.observe = observe
        self.max_response = max_response
