"""Starts the backends of a plan, puts a new configuration in place without losing a stream, and stops all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import structlog
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import FileStates

from clawdbot_model_gateway.backend_config import BackendPlan, default_aliases
from clawdbot_model_gateway.core.backend_set import BackendSet
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.drains import DrainNotRecorded, DrainStore
from clawdbot_model_gateway.core.errors import ConfigurationInvalid
from clawdbot_model_gateway.core.machine_load import MachineLoad
from clawdbot_model_gateway.core.model_admin import Reload
from clawdbot_model_gateway.core.routing.router import Router, named_models
from clawdbot_model_gateway.core.routing.routing_table import Aliases, RoutingTable
from clawdbot_model_gateway.core.scheduling.scheduler import QueueObserver
from clawdbot_model_gateway.stores.file.mapped_counter import MappedCounter
from clawdbot_model_gateway.stores.file.slot_table import SlotTable
from clawdbot_model_gateway.tokenizer_files import load_tokenizer

log = structlog.get_logger(__name__)

RETIRE_AFTER: Final = 1.0
"""Seconds that a removed backend takes requests at least: of calls that had read their targets before."""
RETIRE_POLL: Final = 0.1
"""Seconds between two looks whether it has become idle."""


PutInPlace: TypeAlias = Callable[[], Sequence[str]]
"""Puts what a configuration has beside its plan in place; returns the sections that need a restart."""
Read: TypeAlias = Callable[[], tuple[BackendPlan, PutInPlace]]


class BackendMaker(Protocol):
    """Makes the backends of a plan. Its methods run in a thread."""

    def backend(self, name: str, plan: BackendPlan) -> Backend:
        """A backend, not yet started. StartupError for what an operator can fix."""

    def files(self, name: str, plan: BackendPlan) -> FileStates:
        """The files that a backend's section names, as they are now. StartupError for an invalid section."""


class BackendLifecycle:
    """Owns the backends from start to stop.

    Args:
        plan: what to start with.
        backends: those of the plan, made and not started.
        read: reads the configuration again; raises StartupError. It runs in a thread. Beside the plan it
            returns what puts all else in place, once the plan is: that MUST NOT fail.
        read_accepted: the same, as another worker has put it in place.
        factory: makes backends.
        router: gets the routing table.
        drains: forgets the backends that are removed.
        load: knows which reloads the workers have done.
        reloads: counts those that all workers are to do; None where this worker is the only one.
    """

    def __init__(
        self,
        plan: BackendPlan,
        backends: BackendSet,
        *,
        read: Read,
        read_accepted: Read,
        factory: BackendMaker,
        router: Router,
        drains: DrainStore,
        load: MachineLoad,
        reloads: MappedCounter | None,
    ) -> None:
        self._plan = plan
        self._backends = backends
        self._read = read
        self._read_accepted = read_accepted
        self._factory = factory
        self._router = router
        self._drains = drains
        self._load = load
        self._reloads = reloads
        self._tried = 0
        """Number of the last reload that this worker has begun at the request of another one. It is 0 at the
        start, so that none is missed that was asked for after this process had read the file."""
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.observer: Callable[[str], QueueObserver] | None = None
        """Makes what records how requests wait for a backend."""
        self.reason = plan.reason
        """Why the backends were chosen, for the banner."""
        self.unlisted: Mapping[str, str] = {}
        """Backend → why it did not list its models."""

    async def start(self) -> None:
        """Starts all backends. One that is down does not keep the gateway from starting.

        Raises:
            StartupError: for a file that cannot be used.
        """
        if self._reloads is not None:
            self._reloads.open()
        for name, backend in self._backends.items():
            await self._open(backend, self._plan, name)
        unused = await self._put_in_place(self._plan, {**self._backends}, new={*self._backends})
        await asyncio.gather(*map(_close, unused))

    async def stop(self) -> None:
        """Stops all backends, also those that still finish requests. Safe after a failed start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*map(_close, self._backends.values()))
        if self._reloads is not None:
            self._reloads.close()

    async def reload(self) -> Reload:
        """Reads the configuration and puts it in place, in this worker.

        Raises:
            StartupError: it is invalid; nothing has changed.
        """
        return await self._reload(self._read)

    async def _reload(self, read: Read) -> Reload:
        async with self._turn:
            plan, made, put_rest_in_place = await asyncio.to_thread(self._prepare, read)
            old, aliases = {**self._backends}, self._router.configured.aliases
            try:
                with plan.locating_errors():
                    for name, backend in made.items():
                        await self._open(backend, plan, name)
                backends = {name: made.get(name) or old[name] for name in plan.backends}
                unused = await self._put_in_place(plan, backends, new={*made})
                # In the same step: there is no await in between.
                restart_needed = put_rest_in_place()
            except BaseException:
                await asyncio.gather(*map(_close, made.values()))
                raise
            changes = _changes(old, self._backends, aliases, self._router.configured.aliases, restart_needed)
            for name in (*changes.changed, *changes.removed):
                self._retire(old[name], self._backends.get(name))
            for name in self._drains.names & {*changes.removed}:
                self._forget_drain(name)
            await asyncio.gather(*map(_close, unused))
        log.info(
            "models_reloaded",
            added=changes.added,
            changed=changes.changed,
            removed=changes.removed,
            aliases=changes.aliases,
        )
        return changes

    async def reload_everywhere(self) -> tuple[Reload, int]:
        """The same in all workers of the machine.

        Returns:
            The changes, and the number of workers that had not made them shortly before the deadline.

        Raises:
            ConfigurationInvalid: nothing has changed.
        """
        try:
            changes = await self.reload()
        except StartupError as error:
            raise ConfigurationInvalid(str(error)) from None
        if self._reloads is None:
            return changes, 0
        number = self._reloads.increment()
        self._tried = self._load.reloads = number
        self._load.report()
        return changes, await self._load.until_reloaded(number)

    def follow(self) -> None:
        """Does the reload that another worker has begun. Called about twice a second."""
        number = 0 if self._reloads is None else self._reloads.value
        if number != self._tried:
            self._tried = number
            self._spawn(self._follow(number))

    async def _follow(self, number: int) -> None:
        try:
            await self._reload(self._read_accepted)
        except StartupError as error:
            log.error("reload_refused", reason=str(error))  # noqa: TRY400 - an operator can fix it
        else:
            self._load.reloads = number

    def _prepare(self, read: Read) -> tuple[BackendPlan, dict[str, Backend], PutInPlace]:
        """The new plan, its backends that differ from those in use, and what puts all else in place."""
        plan, put_rest_in_place = read()
        if self._plan.is_configured and not plan.is_configured:
            # An emptied file or a lost one must not put a toy model in the place of the real ones.
            raise StartupError(
                "the configuration no longer has a section model or models: put it back; to run on models "
                "that are discovered, restart the gateway."
            )
        with plan.locating_errors():
            made = {
                name: self._factory.backend(name, plan)
                for name, settings in plan.backends.items()
                if name not in self._backends
                or settings != self._plan.backends[name]
                or self._factory.files(name, plan) != self._backends[name].files
            }
        return plan, made, put_rest_in_place

    async def _open(self, backend: Backend, plan: BackendPlan, name: str) -> None:
        if self.observer is not None:
            backend.scheduler.observer = self.observer(name)
        if isinstance(backend.scheduler.shared, SlotTable):
            backend.scheduler.shared.open()
        await backend.provider.start()
        file = plan.backends[name].tokenizer
        if file is not None:
            path = f"{plan.config_paths[name]}.tokenizer"
            backend.tokenizer = await asyncio.to_thread(load_tokenizer, file, path)

    async def _put_in_place(
        self, plan: BackendPlan, backends: Mapping[str, Backend], new: Collection[str]
    ) -> list[Backend]:
        """Asks the new backends for their models, which connects to them; then changes all in one step.

        Returns:
            The backends that are not in use: candidates that did not answer.
        """
        asked = [name for name in new if not backends[name].models_are_configured]
        others = [backends[name] for name in new if backends[name].models_are_configured]
        answers, _ = await asyncio.gather(
            asyncio.gather(*(self._router.ask(backends[name], plan.aliases) for name in asked)),
            asyncio.gather(*(each.warm() for each in others)),
        )
        unlisted = {name: why for name, (_, why) in zip(asked, answers, strict=True) if why}
        await asyncio.gather(*(backends[name].warm() for name in asked if name not in unlisted))
        aliases, self.reason, chosen = plan.aliases, plan.reason, dict(backends)
        if not aliases:
            listed = {name: len(each.models) for name, each in backends.items()}
            aliases, self.reason = default_aliases(plan, unlisted, listed)
            used = {target.backend for targets in aliases.values() for target in targets}
            chosen = {name: each for name, each in backends.items() if name in used or name not in unlisted}
        models = dict(self._router.configured.backends)
        for name, backend in chosen.items():
            if backend.models_are_configured:
                models[name] = frozenset(each.name for each in backend.models)
            elif models.get(name):
                models[name] |= {*named_models(backend, aliases)}
        models |= {name: names for name, (names, _) in zip(asked, answers, strict=True)}
        kept = {name: why for name, why in self.unlisted.items() if name in chosen and name not in new}
        self._plan, self.unlisted = plan, {**kept, **unlisted}
        self._backends.replace(chosen)
        self._router.configure(RoutingTable({name: models[name] for name in chosen}, aliases, plan.policy))
        return [backends[name] for name in backends.keys() - chosen.keys()]

    def _forget_drain(self, name: str) -> None:
        """A backend that gets the name later is another one."""
        try:
            self._drains.apply(name, drained=False)
        except DrainNotRecorded as error:
            log.warning("drain_not_forgotten", backend=name, reason=error.explanation)

    def _retire(self, backend: Backend, successor: Backend | None) -> None:
        if successor is not None:
            successor.predecessor, successor.traffic = backend, backend.traffic
        self._spawn(self._close_when_idle(backend, successor))

    async def _close_when_idle(self, backend: Backend, successor: Backend | None) -> None:
        try:
            await asyncio.sleep(RETIRE_AFTER)
            while backend.in_flight:  # noqa: ASYNC110 - looked at seldom, and the hot path sets no event
                await asyncio.sleep(RETIRE_POLL)
        finally:
            backend.removed = True
            if successor is not None and successor.predecessor is backend:
                successor.predecessor = None
            await _close(backend)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _close(backend: Backend) -> None:
    await backend.provider.stop()
    if isinstance(backend.scheduler.shared, SlotTable):
        backend.scheduler.shared.close()


def _changes(
    old: Mapping[str, Backend],
    new: Mapping[str, Backend],
    old_aliases: Aliases,
    aliases: Aliases,
    restart_needed: Sequence[str],
) -> Reload:
    both = old.keys() & new.keys()
    return Reload(
        added=sorted(new.keys() - old.keys()),
        changed=sorted(name for name in both if old[name] is not new[name]),
        removed=sorted(old.keys() - new.keys()),
        kept=sorted(name for name in both if old[name] is new[name]),
        aliases=sorted(
            name for name in old_aliases.keys() | aliases.keys() if old_aliases.get(name) != aliases.get(name)
        ),
        restart_needed=restart_needed,
    )
