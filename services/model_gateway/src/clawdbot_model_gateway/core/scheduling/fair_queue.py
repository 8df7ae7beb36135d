"""The requests of one priority class that wait for a slot: tenants take turns, each with its most urgent one.

Tenants share by deficit round robin (Shreedhar and Varghese, 1995): each turn adds a quantum of tokens to
what a tenant may use, so that one with long prompts gets no more than one with short prompts.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from clawdbot_model_gateway.core.errors import Shed

QUANTUM: Final = 16
"""Tokens that a turn adds: the shortest prompt, so that no turn gives several slots to a tenant while others
wait. Rounds in which nobody could go are skipped, so that it costs nothing to be small."""


class WaiterState(Enum):
    """What became of a request that waits."""

    WAITING = auto()
    GRANTED = auto()
    """It has a slot."""
    SHED = auto()
    """It was refused while it waited."""
    GONE = auto()
    """Its caller left."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that waits for a slot."""

    number: int
    """Of its arrival; no two are equal."""
    priority: int
    """INTERACTIVE, STANDARD or BATCH, as the contract numbers them."""
    tenant: str
    tokens: int
    """Its estimated cost, at least 1."""
    since: float
    """When it arrived."""
    deadline: float
    """When a slot is of no use any more; infinite where the call has no deadline."""
    expires_at: float
    """When it stops waiting: its deadline, or earlier."""
    wake: Callable[[Shed | None], None]
    """Called once, unless the caller leaves first: with None once it has a slot, else with the reason."""
    state: WaiterState = WaiterState.WAITING


@dataclass(eq=False, slots=True)
class _Tenant:
    """The waiting requests of a tenant."""

    entries: list[tuple[float, int, Waiter]] = field(default_factory=list)
    """By deadline, then by arrival."""
    deficit: int = 0
    """Tokens that it may use before the next tenant has its turn."""
    has_turn: bool = False
    """Whether the current turn's quantum was added."""

    @property
    def head(self) -> Waiter:
        return self.entries[0][2]


class FairQueue:
    """The waiting requests of one class."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._turns: deque[_Tenant] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, waiter: Waiter) -> None:
        """Adds a request; a tenant that had none gets its turn after the others."""
        tenant = self._tenants.get(waiter.tenant)
        if tenant is None:
            tenant = self._tenants[waiter.tenant] = _Tenant()
            self._turns.append(tenant)
        insort(tenant.entries, (waiter.deadline, waiter.number, waiter))
        self._length += 1

    def remove(self, waiter: Waiter) -> None:
        """Removes a request that is in the queue."""
        tenant = self._tenants[waiter.tenant]
        del tenant.entries[bisect_left(tenant.entries, (waiter.deadline, waiter.number))]
        self._length -= 1
        if not tenant.entries:
            # With its deficit: who asks for nothing saves nothing.
            del self._tenants[waiter.tenant]
            self._turns.remove(tenant)

    def pop(self) -> Waiter:
        """Removes and returns the request whose turn it is. There must be one."""
        turns, passed = self._turns, 0
        while True:
            tenant = turns[0]
            if not tenant.has_turn:
                tenant.has_turn = True
                tenant.deficit += QUANTUM
            waiter = tenant.head
            if waiter.tokens <= tenant.deficit:
                tenant.deficit -= waiter.tokens
                self.remove(waiter)
                return waiter
            tenant.has_turn = False
            turns.rotate(-1)
            passed += 1
            if passed == len(turns):
                self._skip_rounds()
                passed = 0

    def ahead(self, tenant: str, deadline: float) -> int:
        """How many of those that wait now would have their turn before one that a tenant adds, about."""
        own = self._tenants.get(tenant)
        before = 0 if own is None else bisect_right(own.entries, (deadline, math.inf))
        others = (len(each.entries) for each in self._turns if each is not own)
        return before + sum(min(length, before + 1) for length in others)

    def all_gone_at(self, tenant: str, deadline: float) -> float | None:
        """When all requests of a tenant before one with this deadline have been served or have expired."""
        own = self._tenants.get(tenant)
        before = 0 if own is None else bisect_right(own.entries, (deadline, math.inf))
        return None if own is None or not before else own.entries[before - 1][0]

    @property
    def tenants(self) -> int:
        """How many tenants have requests that wait."""
        return len(self._turns)

    def last_of_longest(self, *, longer_than: int = 0) -> Waiter | None:
        """The least urgent request of the tenant with the most of them; None if none has more than that."""
        longest = max(self._turns, key=lambda each: len(each.entries), default=None)
        if longest is None or len(longest.entries) <= longer_than:
            return None
        return longest.entries[-1][2]

    def count(self, tenant: str) -> int:
        """How many requests of a tenant wait."""
        own = self._tenants.get(tenant)
        return 0 if own is None else len(own.entries)

    def _skip_rounds(self) -> None:
        """Adds at once the quanta of all rounds in which no tenant could afford its most urgent request."""
        rounds = min(math.ceil((each.head.tokens - each.deficit) / QUANTUM) for each in self._turns) - 1
        for each in self._turns:
            each.deficit += rounds * QUANTUM
