"""What a backend may charge for a request that is broken off before it has said so.

The caller of a provider does not see how far a request has come, and usage is the last thing that a reply
says. So the code that sends requests and decodes replies notes both here, for the attempt whose provider is
asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeAlias

from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_CACHED,
    USAGE_PROVENANCE_ESTIMATED,
    USAGE_PROVENANCE_PARTIAL,
    Usage,
)
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_model_gateway.core.tokens.token_estimate import TokenEstimator, estimate_input, with_estimates

Reserve: TypeAlias = Callable[[], Awaitable[None]]
"""Reserves what a call may spend before a backend is asked; LimitReached where limits do not allow it."""


class Spending:
    """What is known of one request.

    The provider is asked while it is entered as a context. What is sent outside of one, such as the question
    for a backend's list of models, belongs to no attempt.
    """

    __slots__ = ("input_tokens", "reported", "sent")

    def __init__(self) -> None:
        self.sent = False
        """Whether the backend may have begun on it."""
        self.reported: Usage | None = None
        """The counts that the backend has reported so far."""
        self.input_tokens: int | Callable[[], int] | None = None
        """The estimate of its input, or what makes it; None: from the request."""

    def __enter__(self) -> None:
        """Without a word from its client the request counts as sent."""
        self.sent, self.reported = True, None
        _current.set(self)

    def __exit__(self, *_: object) -> None:
        _current.set(None)

    def usage(self, request: GenerateRequest, output: TokenEstimator) -> Usage:
        """The usage of a reply that was broken off, of which this much arrived."""
        reported = self.reported
        if reported is None or not (reported.input_tokens or reported.output_tokens):
            return self.estimate(request, output)
        usage = Usage()
        usage.CopyFrom(reported)
        usage.output_tokens = max(usage.output_tokens, output.tokens)
        usage.provenance = USAGE_PROVENANCE_PARTIAL
        return with_estimates(usage, partial(self.estimated_input, request), output)

    def estimate(self, request: GenerateRequest, output: TokenEstimator) -> Usage:
        """The usage of a reply of which the backend has reported none."""
        return Usage(
            input_tokens=self.estimated_input(request),
            output_tokens=output.tokens,
            provenance=USAGE_PROVENANCE_ESTIMATED,
        )

    def estimated_input(self, request: GenerateRequest) -> int:
        """The estimated tokens of its input. A running call is looked at every second, so they are kept."""
        known = self.input_tokens
        if known is None:
            known = estimate_input(request)
        elif callable(known):
            known = known()
        self.input_tokens = known
        return known


_current: ContextVar[Spending | None] = ContextVar("spending", default=None)


def note_sent(sent: bool) -> None:
    """Notes whether the context's request has been sent, by a client that has to connect before."""
    spending = _current.get()
    if spending is not None:
        spending.sent = sent


def note_usage(usage: Usage) -> None:
    """Notes what the backend has reported so far."""
    spending = _current.get()
    if spending is not None:
        spending.reported = usage


def as_cached(reply: Usage) -> Usage:
    """The usage of a reply for a caller who spends nothing on it."""
    cached = Usage()
    cached.CopyFrom(reply)
    cached.provenance, cached.cost_micros = USAGE_PROVENANCE_CACHED, 0
    return cached
