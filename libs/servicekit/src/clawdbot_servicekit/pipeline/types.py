"""The words that the pipeline's parts share, and what all methods of a server have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio

from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.call_record import CallRecord
from clawdbot_servicekit.caller import Caller

Context = grpc.aio.ServicerContext[Any, Any]
Work = Callable[[Any, Context], Awaitable[Any]]
"""Does what the RPC is for: answers the reply of a unary RPC, or writes the replies of a streaming one."""
Identify = Callable[[Iterable[tuple[str, str | bytes]], str], Caller]
"""(metadata, "/package.Service/Method") → whom the call is made for; raises faults."""
Observe = Callable[[CallRecord], None]
"""Told of every finished call; must not block."""

UNDECODABLE: Final = object()
"""What a request deserializer answers for bytes that it cannot read."""


class TrustedContext:
    """A servicer context whose caller is known already: mixed into the in-process one."""

    caller: Caller


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long calls may take, in seconds."""

    default: float
    """For callers that gave no deadline."""
    ceiling: float
    """For callers that gave more."""

    def of(self, given: float | None) -> float:
        """What a call may take whose caller gave so much."""
        return self.default if given is None else min(given, self.ceiling)


class Pipeline:
    """What all methods of a server have in common."""

    def __init__(
        self, admission: Admission, identify: Identify, deadlines: Deadlines, observe: Observe
    ) -> None:
        self.admission = admission
        self.identify = identify
        self.deadlines = deadlines
        self.observe = observe
