"""Admits calls within the limits: reserves what they need, and settles what they have used.

Each limit counts in a bucket of its window. A call counts in the window in which it began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.caller import Caller

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.limits.limit_store import (
    Charge,
    Full,
    LimitStore,
    LimitStoreUnavailable,
    Reservation,
)
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.prices import price_of
from clawdbot_model_gateway.core.limits.quotas import Kind, Limit, Owner, Quotas
from clawdbot_model_gateway.core.limits.refusals import LimitReached, LimitsUnavailable, refusal
from clawdbot_model_gateway.core.limits.timed_store import TimedStore
from clawdbot_model_gateway.core.routing.routing_table import DEFAULT_ALIAS, Target

log = structlog.get_logger(__name__)

UNBOUNDED_AT_ONCE: Final = 10
"""Calls without max_tokens that a limit has room for at the same time, however small it is."""
MAX_ALERTED: Final = 4096
"""Buckets for which it is remembered that they were reported."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A charge, and what it is for."""

    owner: Owner
    limit: Limit
    charge: Charge
    targets: frozenset[str] | None = None
    """Only what these targets use counts; None: all that the call uses."""

    @property
    def can_wait(self) -> bool:
        """Whether it is only charged to calls that are sent to a backend, and not to what a cache answers."""
        return self.limit.kind in {"tokens", "cost"} and self.targets is None


class Hold:
    """What a call has reserved of some limits, until it is settled."""

    __slots__ = ("_store", "_used", "is_open", "planned", "reservation")

    def __init__(self, planned: Sequence[Planned], store: TimedStore) -> None:
        self._store = store
        self.planned = planned
        nothing = [0] * len(planned)
        self.reservation = Reservation([each.charge for each in planned], nothing, nothing)
        """Until the store says what is reserved it is nothing: what the call uses counts all the same."""
        self.is_open = False
        """Whether the store has still to say."""
        self._used: Sequence[int] | None = None

    def close(self, late: Reservation | None) -> None:
        """The store has said it, or failed, after the call began."""
        self.is_open = False
        self.reservation = late or self.reservation
        if self._used is not None:
            self.settle(self._used)

    def settle(self, used: Sequence[int]) -> None:
        """The call has ended, and used so much of each limit."""
        self._used = used
        if not self.is_open:
            self._store.settle(self.reservation, used)


class Admission:
    """A call that was admitted.

    Args:
        caller: whose call it is.
        later: what it reserves when it is sent to a backend.
    """

    def __init__(self, caller: Caller, later: Sequence[Planned]) -> None:
        self.caller = caller
        self.reserved: list[Hold] = []
        self.later = later
        self.turn = asyncio.Lock()
        """Of the attempts that reserve it: two of one call may run at the same time."""
        self.refused: LimitReached | LimitsUnavailable | None = None
        """Why it may not be sent after all."""
        self.settled = False


@dataclass(frozen=True, slots=True)
class Need:
    """What a call may use."""

    least: Mapping[str, int]
    """By kind."""
    most: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The limits as they are configured. A reload replaces them; what is counted stays where it is."""

    quotas: Quotas
    alert_at: float = 0.8
    """Part of a limit at which an alert is logged."""
    reserve_output: int = 1024
    """Tokens of a reply to reserve for a request without max_tokens."""
    refuse_on_error: bool = False
    """Whether calls are refused while the store is down."""
    timeout: float = 0.25
    """Seconds that the store has."""
    synonyms: frozenset[str] = frozenset()
    """Names of one and the same alias: a limit of one of them is a limit of all."""


class Limits:
    """Applies the limits.

    Args:
        rules: the limits at first.
        store: counts.
        backends: by name.
        metrics: of refusals and alerts.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        rules: LimitRules,
        store: LimitStore,
        backends: Mapping[str, Backend],
        metrics: LimitMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = TimedStore(store)
        self._backends = backends
        self._metrics = metrics
        self._clock = clock
        self._alerted: dict[str, float] = {}
        """Bucket → when it ends."""
        self._rules = rules
        self.configure(rules)

    def configure(self, rules: LimitRules) -> None:
        """Applies other limits, from the next call on. Calls that run are settled as they were admitted."""
        if rules != self._rules:
            # What was near the end of an old limit may come near that of a new one.
            self._alerted.clear()
        self._rules = rules
        self._limits_tokens = bool(rules.quotas.kinds & {"tokens", "cost"})
        self.active = bool(rules.quotas.kinds)
        """Whether anything is limited."""

    async def admit(
        self,
        caller: Caller,
        request: GenerateRequest,
        targets: Sequence[Target],
        input_tokens: Callable[[], int],
        *,
        may_be_cached: bool = False,
    ) -> tuple[Sequence[Target], Admission | None]:
        """The targets that may be tried, in their order, and what was reserved for the call.

        A target whose own limit is reached is left out, as long as another one is left.

        Args:
            caller: whose limits apply.
            request: of the call.
            targets: in the order in which to try them.
            input_tokens: estimates them.
            may_be_cached: tokens and money are reserved by `reserve_rest`, if the cache has no reply.

        Raises:
            LimitReached: a limit does not allow the call.
            LimitsUnavailable: the store is down, and calls are refused then.
        """
        # A long prompt takes a while to estimate.
        tokens = input_tokens() if self._limits_tokens else 0
        while True:
            now = self._clock()
            planned = [*self._plan(caller, request, targets, tokens, now)]
            if not planned:
                return targets, None
            admission = Admission(caller, [each for each in planned if may_be_cached and each.can_wait])
            planned = [each for each in planned if not (may_be_cached and each.can_wait)]
            full = await self._try(admission, planned)
            if full is None:
                return targets, admission
            reached = planned[full.place]
            excluded = reached.targets or frozenset()
            others = [each for each in targets if each.name not in excluded]
            if reached.targets is None or not others:
                raise self._refusal(caller, reached, full)
            targets = others

    async def reserve_rest(self, admission: Admission) -> None:
        """Reserves what a call may use that no cache has answered. It is done once for each call.

        Raises:
            LimitReached: a limit does not allow it.
            LimitsUnavailable: the store is down, and calls are refused then.
        """
        async with admission.turn:
            if admission.refused is not None:
                raise admission.refused
            if not admission.later:
                return
            planned, admission.later = admission.later, ()
            try:
                full = await self._try(admission, planned)
                if full is not None:
                    raise self._refusal(admission.caller, planned[full.place], full)
            except (LimitReached, LimitsUnavailable) as error:
                admission.refused = error
                raise

    def settle(self, admission: Admission, attempts: RequestAttempts) -> None:
        """Replaces what was reserved by what the call has used."""
        admission.settled = True
        refused = admission.refused is not None
        for hold in admission.reserved:
            hold.settle([0 if refused else _used(each, attempts) for each in hold.planned])
        if admission.later:
            # It has reserved nothing, and may have taken over a call that another one began.
            used = [_used(each, attempts) for each in admission.later]
            if any(used):
                Hold(admission.later, self._store).settle(used)

    async def _try(self, admission: Admission, planned: Sequence[Planned]) -> Full | None:
        """Reserves all that is planned for a call; returns what has no room."""
        if not planned:
            return None
        hold = Hold(planned, self._store)
        rules = self._rules
        late = None if rules.refuse_on_error else hold.close
        try:
            verdict = await self._store.reserve(hold.reservation.charges, rules.timeout, late)
            hold.is_open = verdict is None
        except LimitStoreUnavailable as error:
            if rules.refuse_on_error:
                self._metrics.store_errors.inc()
                raise LimitsUnavailable(error.explanation) from error
            verdict = None
        if isinstance(verdict, Full):
            return verdict
        if verdict is None:
            self._metrics.store_errors.inc()
        else:
            hold.reservation = verdict
            self._alert(admission.caller, planned, verdict)
        if admission.settled:
            # The call has ended meanwhile; one that shares its reply goes on.
            hold.settle([0] * len(planned))
        else:
            admission.reserved.append(hold)
        return None

    def _refusal(self, caller: Caller, planned: Planned, full: Full) -> LimitReached:
        self._metrics.count_refusal(planned.owner.level, planned.limit.kind, caller.tenant)
        return refusal(planned.owner, planned.limit, planned.charge, full, self._clock())

    def _plan(
        self, caller: Caller, request: GenerateRequest, targets: Sequence[Target], tokens: int, now: float
    ) -> Iterator[Planned]:
        """What the call is charged, and where."""
        model = request.model or DEFAULT_ALIAS
        rules = self._rules
        names = rules.synonyms if model in rules.synonyms else {model}
        every: Need | None = None
        for owner, quota in rules.quotas.of(caller):
            if quota.limits:
                every = every or self._need(request, targets, tokens)
                yield from _charges(owner, quota.limits, every, now)
            for named, limits in quota.models.items():
                if named in names:
                    every = every or self._need(request, targets, tokens)
                    yield from _charges(owner, limits, every, now, model=named)
                    continue
                chosen = [each for each in targets if self._model_name(each) == named]
                if chosen:
                    raw = frozenset(each.name for each in chosen)
                    need = self._need(request, chosen, tokens)
                    yield from _charges(owner, limits, need, now, model=named, targets=raw)

    def _model_name(self, target: Target) -> str:
        backend = self._backends.get(target.backend)
        return target.name if backend is None else f"{backend.name}/{backend.display_name(target.model)}"

    def _need(self, request: GenerateRequest, targets: Sequence[Target], tokens: int) -> Need:
        """What a call needs at these targets. Of their prices the highest counts."""
        sampling = request.sampling
        bounds = [1, self._rules.reserve_output]
        if sampling.HasField("max_tokens"):
            bounds = [sampling.max_tokens] * 2
        least, most = (Usage(input_tokens=tokens, output_tokens=each) for each in bounds)
        costs = [(0, 0)]
        for each in targets:
            backend = self._backends.get(each.backend)
            if backend is None:
                continue  # a reload has removed it
            price = price_of(backend.prices, backend.display_name(each.model))
            if price is not None:
                costs.append((price.cost(least), price.cost(most)))
        least_cost, most_cost = max(costs)
        return Need(
            {"requests": 1, "tokens": tokens + least.output_tokens, "cost": least_cost, "concurrent": 1},
            {"requests": 1, "tokens": tokens + most.output_tokens, "cost": most_cost, "concurrent": 1},
        )

    def _alert(self, caller: Caller, planned: Sequence[Planned], reservation: Reservation) -> None:
        for each, amount, total in zip(planned, reservation.amounts, reservation.totals, strict=True):
            bucket, ends = each.charge.bucket, each.charge.ends
            used = total - amount + each.charge.least
            if not ends or used < self._rules.alert_at * each.limit.amount or bucket in self._alerted:
                continue
            if len(self._alerted) >= MAX_ALERTED:
                now = self._clock()
                self._alerted = {key: end for key, end in self._alerted.items() if end > now}
            self._alerted[bucket] = ends
            self._metrics.count_alert(each.owner.level, each.limit.kind, caller.tenant)
            log.warning(
                "limit_almost_reached",
                per=each.owner.level,
                name=each.owner.name,
                limit=each.limit.kind,
                window=each.limit.window,
                used=used,
                of=each.limit.amount,
            )


def _charges(
    owner: Owner,
    limits: Sequence[Limit],
    need: Need,
    now: float,
    *,
    model: str = "",
    targets: frozenset[str] | None = None,
) -> Iterator[Planned]:
    for limit in limits:
        least = need.least[limit.kind]
        if not least:
            continue  # the models are free
        start, end = limit.rate.bounds(now) if limit.rate else (0, 0)
        bucket = f"{owner.bucket}|{limit.kind}|{limit.window}|{start}|{model}"
        # Where nobody knows the most, the first call would otherwise keep a small limit from all others.
        amount = max(least, min(need.most[limit.kind], limit.amount // UNBOUNDED_AT_ONCE))
        charge = Charge(bucket, limit.amount, amount, least, float(end))
        yield Planned(owner, limit, charge, targets)


def _used(planned: Planned, attempts: RequestAttempts) -> int:
    kind = planned.limit.kind
    if kind == "concurrent":
        return 0
    if planned.targets is None:
        return 1 if kind == "requests" else _amount(kind, attempts.usage)
    made = [each for each in attempts.made if each.target.name in planned.targets]
    return min(1, len(made)) if kind == "requests" else sum(_amount(kind, each.cost) for each in made)


def _amount(kind: Kind, used: Usage) -> int:
    return used.cost_micros if kind == "cost" else used.input_tokens + used.output_tokens
