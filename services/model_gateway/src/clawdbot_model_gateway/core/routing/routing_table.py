"""The routing table: aliases, their weighted targets, and how requests are divided between them.

The table is immutable and replaced as a whole: a request keeps the table that it has read, the next one sees
the new table, and neither needs a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from clawdbot_servicekit.suggestions import nearest

from clawdbot_model_gateway.core.errors import UnknownModel

if TYPE_CHECKING:  # CEL takes a while to load, and is only loaded where there are rules.
    from clawdbot_model_gateway.core.routing.routing_rules import RoutingRules

DEFAULT_ALIAS: Final = "default"
"""The alias that an empty model name stands for."""
CHAT_ALIAS: Final = "chat"
"""The alias that flows use."""

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
NAME_GRAMMAR: Final = (
    "a name of at most 128 letters, digits, dots, colons, hyphens and underscores, such as vllm-2"
)
"""Of a backend or an alias, for regular expressions and for people."""

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
class Balance:
    """How requests are divided between the regular targets of an alias: core/routing/balancer.py."""

    by: Literal["weighted", "least_latency", "prefix"] = "weighted"
    prefix_length: int = 2048
    """Characters of a conversation's beginning that are compared."""
    max_load: float = 1.25
    """Times the average requests in flight above which a backend is too busy for more of a prefix."""


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Which of several targets a request goes to."""

    balance: Balance = Balance()
    """Of the aliases that have none of their own."""
    balances: Mapping[str, Balance] = field(default_factory=dict)
    """Alias → its own. They outlive a switch to other targets."""
    rules: RoutingRules | None = None
    """Which requests go to another model than they ask for."""

    def balance_of(self, alias: str) -> Balance:
        """How the targets of an alias are balanced."""
        return self.balances.get(alias or DEFAULT_ALIAS, self.balance)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """The routing table: immutable."""

    backends: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Backend → its models. An empty set: the backend did not list them, and any name may be requested."""
    aliases: Aliases = field(default_factory=dict)
    policy: RoutingPolicy = RoutingPolicy()

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
