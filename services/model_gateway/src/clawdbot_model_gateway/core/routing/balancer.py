"""In which order the regular targets of an alias are tried.

weighted        by chance, in proportion to the weights
least_latency   of two that are drawn by weight, first the one that probably answers sooner
prefix          equal beginnings of conversations at the same backend, which still has them in its cache
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.routing.routing_table import Balance, Target

FEW: Final = 4
"""Requests in flight that no backend is too busy for, however idle the others are."""
HASHES: Final = 2.0**64
"""Number of different hashes."""


class Balancer:
    """Orders targets by what is known of their backends.

    Args:
        backends: by name.
        clock: monotonic seconds.
    """

    def __init__(self, backends: Mapping[str, Backend], clock: Callable[[], float]) -> None:
        self._backends = backends
        self._clock = clock

    def order(
        self, targets: Sequence[Target], balance: Balance, request: GenerateRequest, draw: Callable[[], float]
    ) -> list[Target]:
        """The order in which to try targets: the regular ones as balanced, then the fallbacks as listed.

        Those whose backend is not available come last, in the order in which they probably will be again.

        Args:
            targets: the targets of one alias.
            balance: how to order the regular ones.
            request: what is asked for.
            draw: uniform numbers in [0, 1).
        """
        backends = self._backends
        available = [each for each in targets if backends[each.backend].available]
        regular = [each for each in available if not each.fallback]
        if len(regular) > 1:
            regular = self._order_regular(regular, balance, request, draw)
        ordered = [*regular, *(each for each in available if each.fallback)]
        if len(ordered) < len(targets):
            # Not asked again: one that has become available meanwhile would be in neither list.
            others = [each for each in targets if each not in available]
            ordered += sorted(others, key=lambda each: backends[each.backend].unavailable_seconds)
        return ordered

    def _order_regular(
        self, targets: Sequence[Target], balance: Balance, request: GenerateRequest, draw: Callable[[], float]
    ) -> list[Target]:
        if balance.by == "prefix":
            return self._by_prefix(targets, balance, request)
        drawn = weighted_draw(targets, draw)
        if balance.by == "least_latency":
            now = self._clock()
            if self._cost(drawn[1], now) < self._cost(drawn[0], now):
                drawn[:2] = drawn[1], drawn[0]
        return drawn

    def _cost(self, target: Target, now: float) -> float:
        """How long a request probably takes there, beside those that it has: less for more weight."""
        backend = self._backends[target.backend]
        seconds, in_flight = backend.latency.at(now), backend.in_flight
        if not seconds and in_flight:
            # Nothing is known of it yet. One request finds out; the others do not follow blindly.
            return math.inf
        return seconds * (in_flight + 1) / target.weight

    def _by_prefix(
        self, targets: Sequence[Target], balance: Balance, request: GenerateRequest
    ) -> list[Target]:
        """By rendezvous hashing (Thaler and Ravishankar 1996), with weights, and with a bound on the load.

        Each backend has a score for a prefix, whatever other backends there are. So one that goes away moves
        the prefixes that it had, and no others.
        """
        prefix = blake2b(prefix_of(request, balance.prefix_length).encode(errors="replace")).digest()
        ordered = sorted(targets, key=lambda each: _score(prefix, each))
        load = {each: self._backends[each.backend].in_flight / each.weight for each in targets}
        in_flight = sum(self._backends[each.backend].in_flight for each in targets)
        average = (in_flight + 1) / sum(each.weight for each in targets)
        busy = [
            each
            for each in ordered
            if load[each] > balance.max_load * average and self._backends[each.backend].in_flight >= FEW
        ]
        return [*(each for each in ordered if each not in busy), *busy] if busy else ordered


def weighted_draw(targets: Sequence[Target], draw: Callable[[], float]) -> list[Target]:
    """The targets in an order that is drawn by weight, without replacement.

    Efraimidis and Spirakis 2006: sort by an exponential variate over the weight.
    """
    return sorted(targets, key=lambda each: -math.log(1.0 - draw()) / each.weight)


def prefix_of(request: GenerateRequest, length: int) -> str:
    """The text that all turns of a conversation begin with: up to its first message that is not a system's.

    Later messages are not part of it: the conversation would go elsewhere as soon as there are some.
    """
    texts: list[str] = []
    for message in request.messages:
        for part in message.parts:
            if part.WhichOneof("content") == "text":
                texts.append(part.text[:length])
                length -= len(texts[-1])
        if message.role != ROLE_SYSTEM or length <= 0:
            break
    return "\0".join(texts)


def _score(prefix: bytes, target: Target) -> float:
    """The lower, the better. It is exponentially distributed, so that the best one is drawn by weight."""
    digest = blake2b(target.name.encode(), key=prefix, digest_size=8).digest()
    uniform = (int.from_bytes(digest) + 1) / HASHES
    return -math.log(uniform) / target.weight
