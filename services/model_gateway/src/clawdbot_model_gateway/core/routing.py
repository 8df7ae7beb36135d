"""The routing table: aliases, their weighted targets, and the order in which targets are tried.

The table is immutable and replaced as a whole: a request keeps the table that it has read, the next one sees
the new table, and neither needs a lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from clawdbot_servicekit.suggestions import nearest

from clawdbot_model_gateway.core.errors import UnknownModel

DEFAULT_ALIAS: Final = "default"
"""The alias that an empty model name stands for."""
CHAT_ALIAS: Final = "chat"
"""The alias that flows use."""

ANY_MODEL: Final = "*"
"""In a target: the first model that the backend lists."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model on one backend, with its share of an alias's requests."""

    backend: str
    model: str
    """The vendor's name, which may contain slashes."""
    weight: int = 1
    fallback: bool = False
    """Used only when the regular targets fail."""

    @property
    def name(self) -> str:
        """The name that callers use: "backend/model"."""
        return f"{self.backend}/{self.model}"


Aliases = Mapping[str, tuple[Target, ...]]


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The routing table: immutable."""

    backends: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Backend → its models. An empty set: the backend did not list them, and any name may be requested."""
    aliases: Aliases = field(default_factory=dict)

    def targets(self, name: str) -> tuple[Target, ...]:
        """The targets of an alias, or of "backend/model".

        Raises:
            UnknownModel: it is neither; suggests the closest name.
        """
        targets = self.aliases.get(name or DEFAULT_ALIAS)
        return targets if targets is not None else (self.target(name),)

    def target(self, name: str) -> Target:
        """The target "backend/model".

        Raises:
            UnknownModel: its backend or its model does not exist.
        """
        backend, _, model = name.partition("/")
        models = self.backends.get(backend)
        if models is None or not model or (models and model not in models and model != ANY_MODEL):
            raise UnknownModel(name or DEFAULT_ALIAS, self._suggestion(name))
        return Target(backend, model)

    def names(self) -> list[str]:
        """All aliases and targets, sorted."""
        listed = {f"{backend}/{model}" for backend, models in self.backends.items() for model in models}
        configured = {
            target.name
            for targets in self.aliases.values()
            for target in targets
            if target.model != ANY_MODEL
        }
        return sorted({*self.aliases, *listed, *configured})

    def _suggestion(self, name: str) -> str:
        names = self.names()
        # "qwen3" for "vllm/qwen3": too different for a typing error, and yet what was meant.
        return nearest(name, names) or next((each for each in names if each.partition("/")[2] == name), "")


def attempt_order(targets: Sequence[Target], draw: Callable[[], float]) -> Sequence[Target]:
    """The order in which to try targets: a weighted draw of the regular ones, then the fallbacks as listed.

    The draw is without replacement (Efraimidis and Spirakis 2006: sort by an exponential variate over the
    weight), so that every regular target is tried before any fallback.

    Args:
        targets: the targets of one alias.
        draw: uniform numbers in [0, 1).
    """
    regular = [each for each in targets if not each.fallback]
    if len(regular) > 1:
        regular.sort(key=lambda each: -math.log(1.0 - draw()) / each.weight)
    return [*regular, *(each for each in targets if each.fallback)]
