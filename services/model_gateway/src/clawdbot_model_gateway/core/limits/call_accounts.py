"""What the lifecycle of a call has to do with limits and usage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.limits.limits import Admission, Limits
from clawdbot_model_gateway.core.limits.usage_meter import UsageMeter
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import Reserve
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_input

UsesCache: TypeAlias = Callable[[GenerateRequest, Sequence[Target]], bool]
"""Whether a cache may answer a request to these targets."""


class CallAccounts:
    """Admits calls, and accounts for what they have used.

    Args:
        meter: counts usage.
        limits: what calls may use.
    """

    def __init__(self, meter: UsageMeter, limits: Limits) -> None:
        self._meter = meter
        self._limits = limits

    async def admit(
        self,
        request: GenerateRequest,
        targets: Sequence[Target],
        input_tokens: Callable[[], int] | None = None,
        uses_cache: UsesCache | None = None,
    ) -> tuple[Sequence[Target], Admission | None]:
        """The targets that may be tried, and what was reserved. Each admitted call MUST be settled.

        Args:
            request: of the call.
            targets: in the order in which to try them.
            input_tokens: estimates them; None: by the request's messages and tools.
            uses_cache: whether the cache may have the reply; None: it never has.

        Raises:
            LimitReached: a limit does not allow the call.
            LimitsUnavailable: the store is down, and calls are refused then.
        """
        if not self._limits.active:
            return targets, None
        estimate = input_tokens or partial(estimate_input, request)
        may_be_cached = uses_cache is not None and uses_cache(request, targets)
        caller = current_caller()
        return await self._limits.admit(caller, request, targets, estimate, may_be_cached=may_be_cached)

    def begin(self, attempts: RequestAttempts) -> None:
        """A call begins that was admitted. It MUST be settled."""
        self._meter.begin(current_caller(), attempts)

    def reserving(self, admission: Admission) -> Reserve | None:
        """What a call awaits before it is sent to a backend; None where it has reserved all it may use."""
        return partial(self._limits.reserve_rest, admission) if admission.later else None

    def settle(self, attempts: RequestAttempts, admission: Admission | None) -> None:
        """Accounts for a call that has ended."""
        if admission is not None:
            self._limits.settle(admission, attempts)
        refused = admission is not None and admission.refused is not None
        self._meter.end(current_caller(), attempts, counts=not refused)
