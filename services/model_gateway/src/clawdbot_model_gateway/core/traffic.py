"""What became of a backend's requests, counted in this process since its start."""

from __future__ import annotations

from dataclasses import dataclass

from clawdbot.model_gateway.v1.generation_pb2 import CACHE_STATUS_HIT

from clawdbot_model_gateway.core.attempt import Attempt


@dataclass(slots=True)
class Traffic:
    """The counters; ListBackends shows them."""

    requests: int = 0
    """Attempts that have ended and went to the backend."""
    errors: int = 0
    """Of these, those that failed; not those that were cancelled."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    cache_hits: int = 0
    """Attempts that cost nothing: the reply was cached, or another attempt pays for a shared call."""

    def count(self, attempt: Attempt) -> None:
        """Adds an attempt that has ended."""
        if attempt.free or attempt.cache_status == CACHE_STATUS_HIT:
            self.cache_hits += 1
            return
        cost = attempt.cost
        self.requests += 1
        self.errors += attempt.failed
        self.input_tokens += cost.input_tokens
        self.output_tokens += cost.output_tokens
        self.cost_micros += cost.cost_micros
