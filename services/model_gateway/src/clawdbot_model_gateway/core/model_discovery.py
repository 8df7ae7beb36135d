"""Which models the backends have: asked at the start, and again when somebody wants one that is not known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import ModelFailure, UnknownModel
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL, Routes, Routing, Target

log = structlog.get_logger(__name__)

PATIENCE: Final = 2.0
"""Seconds that a backend has to list its models; without an answer any name may be asked of it."""
ASK_EVERY: Final = 5.0
"""Seconds between two questions to one backend, whoever asks for whatever name."""


class Directory:
    """Answers what names mean, and keeps the lists of models that this needs.

    Args:
        routing: the table to read and to teach.
        backends: by name.
        clock: monotonic seconds.
    """

    def __init__(
        self, routing: Routing, backends: Mapping[str, Backend], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._routing = routing
        self._backends = backends
        self._clock = clock
        self._asked: dict[str, float] = {}

    @property
    def routes(self) -> Routes:
        """The table now."""
        return self._routing.routes

    async def targets(self, name: str) -> Sequence[Target]:
        """What an alias or "backend/model" means.

        Raises:
            UnknownModel: neither, and the backend does not list it either.
        """
        try:
            return self._routing.routes.targets(name)
        except UnknownModel:
            if not await self._looked_again(name):
                raise
            return self._routing.routes.targets(name)

    async def target(self, name: str) -> Target:
        """The target of that name; raises as `targets`."""
        try:
            return self._routing.routes.target(name)
        except UnknownModel:
            if not await self._looked_again(name):
                raise
            return self._routing.routes.target(name)

    async def ask(self, backends: Iterable[Backend]) -> dict[str, str]:
        """Asks backends for their models, all at once and for a moment only.

        Returns:
            Backend → why it did not say.
        """
        asked = [each for each in backends if not each.complete]
        answers = await asyncio.gather(*map(self._ask, asked))
        return {each.name: why for each, why in zip(asked, answers, strict=True) if why}

    async def _looked_again(self, name: str) -> bool:
        backend = self._backends.get(name.partition("/")[0])
        if backend is None or backend.complete or not backend.models:
            return False
        if self._clock() - self._asked.get(backend.name, -ASK_EVERY) < ASK_EVERY:
            return False
        return not await self._ask(backend)

    async def _ask(self, backend: Backend) -> str:
        self._asked[backend.name] = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                found = await backend.provider.list_models()
        except (ModelFailure, TimeoutError) as failure:
            why = str(failure) or f"no list of models within {PATIENCE:g} s"
            log.info("models_not_listed", backend=backend.name, reason=why)
            return why
        preferred = self._preferred(backend)
        known = {each.name: each for each in found}
        first = [known.pop(name, VendorModel(name)) for name in preferred]
        backend.models = (*first, *known.values())
        # A backend that lists nothing may still have what is asked for.
        self._routing.learn(backend.name, (each.name for each in backend.models) if found else ())
        return ""

    def _preferred(self, backend: Backend) -> list[str]:
        """The models that the configuration names, which are there whether listed or not."""
        meant = [backend.preferred] if backend.preferred else []
        meant += [
            target.model
            for targets in self._routing.configured.aliases.values()
            for target in targets
            if target.backend == backend.name and target.model != ANY_MODEL
        ]
        return list(dict.fromkeys(meant))
