"""Resolves names to targets, and asks backends for their models: at start, and again for an unknown name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import ModelError, UnknownModel
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL, Router, RoutingTable, Target

log = structlog.get_logger(__name__)

LIST_TIMEOUT: Final = 2.0
"""Seconds that a backend has to list its models; without a list, any name may be requested from it."""
REFRESH_INTERVAL: Final = 5.0
"""Minimum seconds between two requests for one backend's list, whatever names callers ask for."""


class ModelDiscovery:
    """Resolves names to targets, and maintains the lists of models that this needs.

    Args:
        router: holds the routing table; it is updated with what backends list.
        backends: by name.
        clock: monotonic seconds.
    """

    def __init__(
        self, router: Router, backends: Mapping[str, Backend], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._router = router
        self._backends = backends
        self._clock = clock
        self._refreshed_at: dict[str, float] = {}

    @property
    def routes(self) -> RoutingTable:
        """The current routing table."""
        return self._router.routes

    async def targets(self, name: str) -> Sequence[Target]:
        """The targets of an alias, or of "backend/model".

        Raises:
            UnknownModel: it is neither, and the backend does not list it now either.
        """
        try:
            return self._router.routes.targets(name)
        except UnknownModel:
            if not await self._refresh_for(name):
                raise
            return self._router.routes.targets(name)

    async def target(self, name: str) -> Target:
        """The target "backend/model"; raises as `targets` does."""
        try:
            return self._router.routes.target(name)
        except UnknownModel:
            if not await self._refresh_for(name):
                raise
            return self._router.routes.target(name)

    async def refresh(self, backends: Iterable[Backend]) -> dict[str, str]:
        """Asks backends for their models, concurrently and with a short timeout.

        Returns:
            Backend → why it did not list its models.
        """
        asked = [each for each in backends if not each.models_are_configured]
        reasons = await asyncio.gather(*map(self._refresh, asked))
        return {each.name: reason for each, reason in zip(asked, reasons, strict=True) if reason}

    async def _refresh_for(self, name: str) -> bool:
        """Whether the backend of the name has listed its models anew."""
        backend = self._backends.get(name.partition("/")[0])
        if backend is None or backend.models_are_configured or not backend.models:
            return False
        if self._clock() - self._refreshed_at.get(backend.name, -REFRESH_INTERVAL) < REFRESH_INTERVAL:
            return False
        return not await self._refresh(backend)

    async def _refresh(self, backend: Backend) -> str:
        """Why the backend did not list its models; empty where it did."""
        self._refreshed_at[backend.name] = self._clock()
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                listed = await backend.provider.list_models()
        except (ModelError, TimeoutError) as error:
            reason = str(error) or f"no list of models within {LIST_TIMEOUT:g} s"
            log.info("models_not_listed", backend=backend.name, reason=reason)
            return reason
        preferred = self._preferred(backend)
        by_name = {each.name: each for each in listed}
        first = [by_name.pop(name, VendorModel(name)) for name in preferred]
        backend.models = (*first, *by_name.values())
        # A backend that lists nothing may still have the model that is requested.
        self._router.set_models(backend.name, (each.name for each in backend.models) if listed else ())
        return ""

    def _preferred(self, backend: Backend) -> list[str]:
        """The models that the configuration names. They are assumed to exist, whether listed or not."""
        names = [backend.preferred_model] if backend.preferred_model else []
        names += [
            target.model
            for targets in self._router.configured.aliases.values()
            for target in targets
            if target.backend == backend.name and target.model != ANY_MODEL
        ]
        return list(dict.fromkeys(names))
