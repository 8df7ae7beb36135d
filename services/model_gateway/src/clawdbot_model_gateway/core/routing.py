"""Routing of model names: aliases, their weighted targets, and the order in which targets are tried.

The table is immutable and replaced as a whole: a request keeps the table that it has read, the next one sees
the new table, and neither needs a lock.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from clawdbot_model_gateway.core.alias_overrides import (
    AliasChange,
    AliasOverride,
    AliasOverrideStore,
    TargetSpec,
    TargetSpecs,
)
from clawdbot_model_gateway.core.errors import UnknownModel

log = structlog.get_logger(__name__)

DEFAULT_ALIAS: Final = "default"
"""The alias that an empty model name stands for."""
CHAT_ALIAS: Final = "chat"
"""The alias that flows use."""

ANY_MODEL: Final = "*"
"""In a target: the first model that the backend lists."""

MAX_SUGGESTION_CHARACTERS: Final = 256
"""Characters of a name that still gets a suggestion; the search takes quadratic time."""


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
            raise UnknownModel(name or DEFAULT_ALIAS, self._closest(name))
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

    def _closest(self, name: str) -> str:
        if len(name) > MAX_SUGGESTION_CHARACTERS:
            return ""
        names = self.names()
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [
            each for each in names if each.partition("/")[2] == name
        ]
        return close[0] if close else ""


def attempt_order(targets: Sequence[Target], draw: Callable[[], float]) -> Sequence[Target]:
    """The order in which to try targets: a weighted draw of the regular ones, then the fallbacks as listed.

    The draw is without replacement (Efraimidis and Spirakis 2006: sort by an exponential variate over the
    weight), so that every regular target is tried before any fallback.

    Args:
        targets: the targets of one alias.
        draw: uniform numbers in [0, 1).
    """
    if len(targets) == 1:
        return targets
    regular = [each for each in targets if not each.fallback]
    if len(regular) > 1:
        regular.sort(key=lambda each: -math.log(1.0 - draw()) / each.weight)
    return [*regular, *(each for each in targets if each.fallback)]


class Router:
    """Holds the current table: the configuration, with the overrides of SwitchModel applied to it."""

    def __init__(self, store: AliasOverrideStore) -> None:
        self._store = store
        self._configured = RoutingTable()
        self._routes = RoutingTable()
        self._version: int | None = None

    @property
    def routes(self) -> RoutingTable:
        """The current table. Read it once per request."""
        version = self._store.version
        if version != self._version:
            # Set first: a change that happens during the load is picked up by the next read.
            self._version = version
            self._routes = self._apply(self._store.load())
        return self._routes

    @property
    def configured(self) -> RoutingTable:
        """The table without overrides."""
        return self._configured

    def configure(self, routes: RoutingTable) -> None:
        """Replaces the configured table; overrides stay in effect where they still apply."""
        self._configured = routes
        self._version = None

    def set_models(self, backend: str, models: Iterable[str]) -> None:
        """Sets the models of a backend."""
        self.configure(
            replace(self._configured, backends={**self._configured.backends, backend: frozenset(models)})
        )

    def override_alias(self, alias: str, targets: Sequence[Target], request_id: str = "") -> Sequence[Target]:
        """Gives an alias other targets and returns the previous ones; none for a new alias.

        Raises:
            OverrideStoreUnavailable: the change could not be stored; the alias is unchanged.
        """
        configured = _to_specs(self._configured.aliases.get(alias, ()))
        change = AliasChange(alias, AliasOverride(_to_specs(targets), configured), request_id)
        return [_from_spec(spec) for spec in self._store.apply(change)]

    def _apply(self, overrides: Mapping[str, AliasOverride]) -> RoutingTable:
        aliases = dict(self._configured.aliases)
        for alias, override in overrides.items():
            if override.configured != _to_specs(self._configured.aliases.get(alias, ())):
                continue
            targets = tuple(_from_spec(spec) for spec in override.targets)
            missing = [each.name for each in targets if each.backend not in self._configured.backends]
            if missing:
                log.warning("alias_override_ignored", alias=alias, missing=missing)
            else:
                aliases[alias] = targets
        return replace(self._configured, aliases=aliases)


def _to_specs(targets: Iterable[Target]) -> TargetSpecs:
    return tuple(TargetSpec(each.name, each.weight, each.fallback) for each in targets)


def _from_spec(spec: TargetSpec) -> Target:
    backend, _, model = spec.name.partition("/")
    return Target(backend, model, spec.weight, spec.fallback)
