"""Resolves model names to targets: the one look-up of every call.

The table is the configuration with the overrides of SwitchModel, and the models that the backends list. For
an unknown model the router asks the backend again, since it may have been loaded meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import structlog
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.caller import current_caller

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import ModelError, UnknownModel
from clawdbot_model_gateway.core.routing.alias_overrides import (
    AliasChange,
    AliasOverride,
    AliasOverrideStore,
    TargetSpec,
    TargetSpecs,
)
from clawdbot_model_gateway.core.routing.balancer import Balancer
from clawdbot_model_gateway.core.routing.routing_table import ANY_MODEL, Aliases, RoutingTable, Target

log = structlog.get_logger(__name__)

T = TypeVar("T")

REFRESH_INTERVAL: Final = 5.0
"""Least seconds between two requests for one backend's list, whatever names callers ask for."""


class Router:
    """Holds the current routing table.

    Args:
        store: the overrides of aliases.
        backends: by name.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: AliasOverrideStore,
        backends: Mapping[str, Backend],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._backends = backends
        self._clock = clock
        self._balancer = Balancer(backends, clock)
        self._configured = RoutingTable()
        self._table = RoutingTable()
        self._version: int | None = None
        self._refreshed_at: dict[str, float] = {}

    @property
    def table(self) -> RoutingTable:
        """The current table. Read it once per request."""
        version = self._store.version
        if version != self._version:
            # Set first: a change that happens during the load is picked up by the next read.
            self._version = version
            self._table = self._apply(self._store.load())
        return self._table

    @property
    def configured(self) -> RoutingTable:
        """The table without overrides."""
        return self._configured

    def configure(self, table: RoutingTable) -> None:
        """Replaces the configured table; overrides stay in effect where they still apply."""
        self._configured = table
        self._version = None

    async def targets(self, name: str) -> Sequence[Target]:
        """The targets of an alias, or of "backend/model".

        Raises:
            UnknownModel: it is neither, and the backend does not list it now either.
        """
        return await self._look_up(RoutingTable.targets, name)

    async def route(self, request: GenerateRequest, draw: Callable[[], float]) -> Sequence[Target]:
        """The targets for a request, in the order in which to try them.

        Args:
            request: what is asked for.
            draw: uniform numbers in [0, 1).

        Raises:
            UnknownModel: its model does not exist.
        """
        name, policy = request.model, self._configured.policy
        # Embed has no messages: what it asks for is not a reply.
        if policy.rules is not None and request.messages:
            chosen = policy.rules.model_for(request, current_caller().tenant)
            if chosen:
                name = chosen
                annotate(routed_to=name)
        targets = await self._look_up(RoutingTable.targets, name)
        if len(targets) == 1:
            return targets
        balance = policy.balance_of(name)
        return self._balancer.order(targets, balance, request, draw)

    def backend_of(self, target: Target) -> Backend:
        """The backend of a target."""
        return self._backends[target.backend]

    async def target(self, name: str) -> Target:
        """The target "backend/model"; raises as `targets` does."""
        return await self._look_up(RoutingTable.target, name)

    async def ask(self, backend: Backend, aliases: Aliases) -> tuple[frozenset[str], str]:
        """The models that a backend lists, and why it does not list them; leaves the table as it is.

        Args:
            backend: in use or not.
            aliases: of the configuration; they may name models that are not listed.
        """
        self._refreshed_at[backend.name] = self._clock()
        try:
            listed = await backend.refresh_models(named_models(backend, aliases))
        except ModelError as error:
            log.info("models_not_listed", backend=backend.name, **error.log_fields)
            return frozenset(), str(error)
        # A backend that lists nothing may still have the model that is requested.
        return frozenset(each.name for each in backend.models) if listed else frozenset(), ""

    def override_alias(self, alias: str, targets: Sequence[Target], request_id: str = "") -> Sequence[Target]:
        """Gives an alias other targets and returns the previous ones; none for a new alias.

        Raises:
            OverrideStoreUnavailable: the change could not be stored; the alias is unchanged.
        """
        configured = _to_specs(self._configured.aliases.get(alias, ()))
        change = AliasChange(alias, AliasOverride(_to_specs(targets), configured), request_id)
        return [_from_spec(spec) for spec in self._store.apply(change)]

    async def _look_up(self, find: Callable[[RoutingTable, str], T], name: str) -> T:
        try:
            return find(self.table, name)
        except UnknownModel:
            if not await self._refresh_for(name):
                raise
            return find(self.table, name)

    async def _refresh_for(self, name: str) -> bool:
        """Whether the backend of the name has listed its models again."""
        backend = self._backends.get(name.partition("/")[0])
        if backend is None or backend.models_are_configured or not backend.models:
            return False
        if self._clock() - self._refreshed_at.get(backend.name, -REFRESH_INTERVAL) < REFRESH_INTERVAL:
            return False
        return not await self._refresh(backend)

    async def _refresh(self, backend: Backend) -> str:
        """Why the backend did not list its models; empty where it did."""
        names, reason = await self.ask(backend, self._configured.aliases)
        if not reason:
            models = {**self._configured.backends, backend.name: names}
            self.configure(replace(self._configured, backends=models))
        return reason

    def _apply(self, overrides: Mapping[str, AliasOverride]) -> RoutingTable:
        aliases = dict(self._configured.aliases)
        for alias, override in overrides.items():
            if override.configured != _to_specs(self._configured.aliases.get(alias, ())):
                continue
            targets = tuple(_from_spec(spec) for spec in override.targets)
            there = tuple(each for each in targets if each.backend in self._configured.backends)
            if len(there) < len(targets):
                missing = [each.name for each in targets if each not in there]
                log.warning("alias_override_lacks_targets", alias=alias, missing=missing)
            if there:
                aliases[alias] = there
        return replace(self._configured, aliases=aliases)


def named_models(backend: Backend, aliases: Aliases) -> list[str]:
    """The models that the configuration names. They are assumed to exist, whether listed or not."""
    names = [backend.preferred_model] if backend.preferred_model else []
    names += [
        target.model
        for targets in aliases.values()
        for target in targets
        if target.backend == backend.name and target.model != ANY_MODEL
    ]
    return list(dict.fromkeys(names))


def _to_specs(targets: Iterable[Target]) -> TargetSpecs:
    return tuple(TargetSpec(each.name, each.weight, each.fallback) for each in targets)


def _from_spec(spec: TargetSpec) -> Target:
    backend, _, model = spec.name.partition("/")
    return Target(backend, model, spec.weight, spec.fallback)
