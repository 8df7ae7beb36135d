"""Lists models and backends, and changes the targets of aliases."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as pb
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.pagination import page_bounds
from google.protobuf.duration_pb2 import Duration

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.drains import DrainStore
from clawdbot_model_gateway.core.errors import SwitchingOff, UnknownBackend, UnknownModel
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.core.reply_cache.cached_replies import CachedReplies
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import NAME_GRAMMAR, NAME_PATTERN, Aliases, Target

log = structlog.get_logger(__name__)

WARM_PATIENCE: Final = 0.05
"""Seconds that a switch waits for connections to backends that have none."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload has changed. All are sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]
    aliases: list[str]
    """Those that were added, removed, or got other targets."""
    restart_needed: Sequence[str]
    """Sections of the configuration that differ, and that a reload leaves as they were."""


class ModelAdmin:
    """Answers the RPCs of ModelAdminService.

    Args:
        router: resolves names to targets.
        backends: by name.
        drains: the drained backends.
        load: of the backends on this machine.
        reload: reads the configuration again and puts it in place in all workers; returns the changes, and
            the number of workers that had not made them shortly before the deadline.
        replies: the cache of replies.
        switching: whether aliases can be given other targets at runtime.
    """

    def __init__(
        self,
        router: Router,
        backends: Mapping[str, Backend],
        drains: DrainStore,
        load: MachineLoad,
        reload: Callable[[], Awaitable[tuple[Reload, int]]],
        *,
        replies: CachedReplies,
        switching: bool = True,
    ) -> None:
        self._router = router
        self._backends = backends
        self._drains = drains
        self._load = load
        self._reload = reload
        self._warming: set[asyncio.Task[None]] = set()
        self._switching = switching
        self._replies = replies

    def list_models(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        """A page of aliases and targets, by name."""
        known = self._router.table.names()
        names, next_token = page_bounds(known, "models", request.page_size, request.page_token)
        return pb.ListModelsResponse(models=[self._model(each) for each in names], next_page_token=next_token)

    def get_model(self, request: pb.GetModelRequest) -> pb.GetModelResponse:
        """One alias or target.

        Raises:
            UnknownModel: it does not exist.
        """
        return pb.GetModelResponse(model=self._model(request.name))

    def list_backends(self, request: pb.ListBackendsRequest) -> pb.ListBackendsResponse:
        """A page of backends, by name, with their current load."""
        known = sorted(self._backends)
        names, next_token = page_bounds(known, "backends", request.page_size, request.page_token)
        return pb.ListBackendsResponse(backends=self._load.states([*names]), next_page_token=next_token)

    async def drain_backend(self, request: pb.DrainBackendRequest) -> pb.DrainBackendResponse:
        """Stops new requests to a backend and waits for those in flight, or puts it back into service.

        Raises:
            InvalidRequest: no backend is named.
            UnknownBackend: it does not exist.
            DrainNotRecorded: it could not be stored; nothing has changed.
        """
        name = request.backend
        if not name:
            raise InvalidRequest.of("backend", "Must name a backend; ListBackends shows them.")
        if name not in self._backends:
            raise UnknownBackend(name, self._backends)
        self._drains.apply(name, drained=not request.undo, request_id=request.request_id)
        log.info("backend_put_back" if request.undo else "backend_drains", backend=name)
        if self._backends[name].draining:
            await self._load.until_idle(name)
        return pb.DrainBackendResponse(backend=self._load.state(name))

    async def switch_model(self, request: pb.SwitchModelRequest) -> pb.SwitchModelResponse:
        """Gives an alias other targets, from the next request on; requests in flight are not affected.

        Raises:
            InvalidRequest: the alias or a target is invalid.
            UnknownModel: a target does not exist. The alias is unchanged.
            OverrideStoreUnavailable: the override could not be stored. The alias is unchanged.
            SwitchingOff: by configuration.
        """
        started_at = time.perf_counter()
        if not self._switching:
            raise SwitchingOff
        violations = [*_violations(request, self._router.table.aliases)]
        if violations:
            raise InvalidRequest(violations)
        targets = [
            Target(resolved.backend, resolved.model, each.weight or 1, each.fallback)
            for each in request.targets
            for resolved in [await self._router.target(each.target)]
        ]
        await self._warm({each.backend for each in targets})
        previous = self._router.override_alias(request.alias, targets, request.request_id)
        elapsed = time.perf_counter() - started_at
        log.info(
            "model_switched",
            alias=request.alias,
            targets=[each.name for each in targets],
            previous=[each.name for each in previous],
        )
        return pb.SwitchModelResponse(
            previous_targets=map(self._to_message, previous), elapsed=Duration(nanos=round(elapsed * 1e9))
        )

    async def reload_models(self) -> pb.ReloadModelsResponse:
        """Puts the configuration in place as it is now, in all workers of the machine.

        Raises:
            ConfigurationInvalid: nothing has changed.
        """
        changes, pending = await self._reload()
        return pb.ReloadModelsResponse(
            added=changes.added,
            changed=changes.changed,
            removed=changes.removed,
            kept=changes.kept,
            changed_aliases=changes.aliases,
            restart_needed=changes.restart_needed,
            pending_workers=pending,
        )

    async def _warm(self, names: Iterable[str]) -> None:
        """Connects to the backends that have no connection. What takes longer goes on in the background."""
        cold = [self._backends[name] for name in names if self._backends[name].provider.is_cold]
        if cold:
            warming = {asyncio.create_task(each.warm()) for each in cold}
            self._warming |= warming
            for each in warming:
                each.add_done_callback(self._warming.discard)
            await asyncio.wait(warming, timeout=WARM_PATIENCE)

    async def flush_cache(self, request: pb.FlushCacheRequest) -> pb.FlushCacheResponse:
        """Removes cached replies.

        Raises:
            UnknownModel: the model does not exist.
            CacheNotFlushed: Redis could not be reached; the workers of this machine are flushed all the same.
        """
        targets = []
        if request.model:
            for each in await self._router.targets(request.model):
                model = await self._backends[each.backend].model_for(each.model)
                targets.append(f"{each.backend}/{model}")
        removed = await self._replies.flush(request.tenant, targets)
        log.info("cache_flushed", tenant=request.tenant, targets=targets, removed=removed)
        return pb.FlushCacheResponse(entries=removed)

    def describe_alias(self, alias: str, *, addresses: bool = False) -> str:
        """An alias's targets for people to read: "vllm-a/qwen3, else openai/gpt-5-mini".

        Args:
            alias: its name.
            addresses: whether each has the endpoint of its backend.
        """

        def name(target: Target) -> str:
            endpoint = self._backends[target.backend].provider.endpoint if addresses else ""
            return self._to_message(target).target + (f" at {endpoint}" if endpoint else "")

        targets = self._router.table.aliases[alias]
        regular = " or ".join(name(each) for each in targets if not each.fallback)
        fallbacks = [name(each) for each in targets if each.fallback]
        return ", else ".join([*([regular] if regular else []), *fallbacks])

    def _model(self, name: str) -> pb.Model:
        table = self._router.table
        if name in table.aliases:
            return pb.Model(name=name, targets=map(self._to_message, table.aliases[name]))
        if not name:
            raise UnknownModel(name)
        target = table.target(name)
        backend = self._backends[target.backend]
        model = backend.display_name(target.model)
        length = next((each.context_length for each in backend.models if each.name == model), 0)
        return pb.Model(
            name=name,
            backend=backend.name,
            provider=backend.provider_name,
            vendor_model=model,
            context_length=length,
        )

    def _to_message(self, target: Target) -> pb.Target:
        model = self._backends[target.backend].display_name(target.model)
        name = Target(target.backend, model).name
        return pb.Target(target=name, weight=target.weight, fallback=target.fallback)


def _violations(request: pb.SwitchModelRequest, aliases: Aliases) -> Iterator[FieldViolation]:
    if not re.fullmatch(NAME_PATTERN, request.alias):
        yield FieldViolation("alias", f"Must be {NAME_GRAMMAR}.")
    if not request.targets:
        yield FieldViolation("targets", "At least one target is required.")
    names = [each.target for each in request.targets]
    for index, each in enumerate(request.targets):
        if each.weight < 0:
            yield FieldViolation(f"targets[{index}].weight", "Must not be negative.")
        if each.target in aliases:
            first = aliases[each.target][0].name
            words = f'{each.target} is an alias; a target must be "backend/model", such as {first}.'
            yield FieldViolation(f"targets[{index}].target", words)
        if names.index(each.target) != index:
            yield FieldViolation(f"targets[{index}].target", f"{each.target} is listed twice.")
