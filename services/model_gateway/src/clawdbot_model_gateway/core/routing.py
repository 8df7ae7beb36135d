"""What a model's name means: aliases, their targets with weights, and the order in which backends are tried.

The table is immutable and swapped whole: a request that has read it goes on with what it read, the next one
sees the new table, and nobody waits for a lock.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from clawdbot_model_gateway.core.alias_overrides import Aim, Change, Names, Switch, SwitchRecord
from clawdbot_model_gateway.core.errors import UnknownModel

log = structlog.get_logger(__name__)

DEFAULT_ALIAS: Final = "default"
"""What an empty model name means."""
CHAT_ALIAS: Final = "chat"
"""What flows ask for."""

ANY_MODEL: Final = "*"
"""In a target: whichever model the backend lists first."""

LONGEST_NAME: Final = 256
"""Characters of a name that a suggestion is looked for; the search takes the square of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model on one backend, with its share of an alias's requests."""

    backend: str
    model: str
    """The vendor's name; may itself contain slashes."""
    weight: int = 1
    fallback: bool = False
    """Used only when the others fail."""

    @property
    def name(self) -> str:
        """As callers write it: "backend/model"."""
        return f"{self.backend}/{self.model}"


Aliases = Mapping[str, tuple[Target, ...]]


@dataclass(frozen=True, slots=True)
class Routes:
    """One state of the routing table."""

    backends: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Backend → its models. An empty set: the backend did not say, any name may be asked for."""
    aliases: Aliases = field(default_factory=dict)

    def targets(self, name: str) -> tuple[Target, ...]:
        """What an alias or "backend/model" means.

        Raises:
            UnknownModel: neither; suggests the nearest name.
        """
        found = self.aliases.get(name or DEFAULT_ALIAS)
        return found if found is not None else (self.target(name),)

    def target(self, name: str) -> Target:
        """The target of that name.

        Raises:
            UnknownModel: its backend or its model is not there.
        """
        backend, _, model = name.partition("/")
        models = self.backends.get(backend)
        if models is None or not model or (models and model not in models and model != ANY_MODEL):
            raise UnknownModel(name or DEFAULT_ALIAS, self._nearest(name))
        return Target(backend, model)

    def names(self) -> list[str]:
        """All aliases and targets, sorted."""
        listed = {f"{backend}/{model}" for backend, models in self.backends.items() for model in models}
        meant = {
            target.name
            for targets in self.aliases.values()
            for target in targets
            if target.model != ANY_MODEL
        }
        return sorted({*self.aliases, *listed, *meant})

    def _nearest(self, name: str) -> str:
        if len(name) > LONGEST_NAME:
            return ""
        names = self.names()
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [
            each for each in names if each.partition("/")[2] == name
        ]
        return close[0] if close else ""


def in_order(targets: Sequence[Target], draw: Callable[[], float]) -> Sequence[Target]:
    """The order to try targets in: a weighted draw of the regular ones, then the fallbacks as listed.

    The draw is without replacement (Efraimidis and Spirakis 2006: sort by an exponential variate over the
    weight), so that the next regular target is tried before any fallback.

    Args:
        targets: of one alias.
        draw: uniform numbers in [0, 1).
    """
    if len(targets) == 1:
        return targets
    regular = [each for each in targets if not each.fallback]
    if len(regular) > 1:
        regular.sort(key=lambda each: -math.log(1.0 - draw()) / each.weight)
    return [*regular, *(each for each in targets if each.fallback)]


class Routing:
    """Holds the table that is in force: what is configured, and over it what was switched since."""

    def __init__(self, record: SwitchRecord) -> None:
        self._record = record
        self._configured = Routes()
        self._routes = Routes()
        self._seen: int | None = None

    @property
    def routes(self) -> Routes:
        """The table now. Read it once for each request."""
        version = self._record.version
        if version != self._seen:
            # Set first: a change that comes while the record is read is seen at the next look.
            self._seen = version
            self._routes = self._with(self._record.read())
        return self._routes

    @property
    def configured(self) -> Routes:
        """The table without switches."""
        return self._configured

    def configure(self, routes: Routes) -> None:
        """Says what there is; switches stay in force where they still fit."""
        self._configured = routes
        self._seen = None

    def learn(self, backend: str, models: Iterable[str]) -> None:
        """Notes which models a backend has."""
        self.configure(
            replace(self._configured, backends={**self._configured.backends, backend: frozenset(models)})
        )

    def point(self, alias: str, targets: Sequence[Target], request_id: str = "") -> Sequence[Target]:
        """Points an alias at other targets and returns what it meant before; empty for a new alias.

        Raises:
            RecordUnavailable: the change could not be recorded; the alias is as before.
        """
        configured = _written(self._configured.aliases.get(alias, ()))
        change = Change(alias, Switch(_written(targets), configured), request_id)
        return [_target(aim) for aim in self._record.change(change)]

    def _with(self, switches: Mapping[str, Switch]) -> Routes:
        aliases = dict(self._configured.aliases)
        for alias, switch in switches.items():
            if switch.configured != _written(self._configured.aliases.get(alias, ())):
                continue
            targets = tuple(_target(aim) for aim in switch.targets)
            missing = [each.name for each in targets if each.backend not in self._configured.backends]
            if missing:
                log.warning("switch_void", alias=alias, missing=missing)
            else:
                aliases[alias] = targets
        return replace(self._configured, aliases=aliases)


def _written(targets: Iterable[Target]) -> Names:
    return tuple(Aim(each.name, each.weight, each.fallback) for each in targets)


def _target(aim: Aim) -> Target:
    backend, _, model = aim.name.partition("/")
    return Target(backend, model, aim.weight, aim.fallback)
