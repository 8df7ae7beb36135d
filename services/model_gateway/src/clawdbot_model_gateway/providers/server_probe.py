"""Finds out what kind of model server an endpoint is, with one probe for all concurrent callers."""

from __future__ import annotations

import asyncio
import copy
from typing import Final, TypeAlias

import structlog

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendTimeout,
    ModelError,
    ModelMissing,
    ProtocolViolation,
    RequestRefused,
)
from clawdbot_model_gateway.providers.ollama import OllamaProvider
from clawdbot_model_gateway.providers.openai_compatible import OpenAICompatibleProvider

log = structlog.get_logger(__name__)

ServerProvider: TypeAlias = OllamaProvider | OpenAICompatibleProvider

OTHER_PROTOCOL_ERRORS: Final = (ProtocolViolation, BackendAuth, RequestRefused, ModelMissing)
"""Errors after which another protocol may succeed: the server is up and refuses the question. Some servers
answer 401 to every path that they do not know."""
PROBE_TIMEOUT: Final = 10.0
"""Seconds for the whole probe, which takes three requests."""


class ServerProbe:
    """Decides which of two providers speaks the server's protocol."""

    def __init__(self, ollama: OllamaProvider, compatible: OpenAICompatibleProvider) -> None:
        self._ollama = ollama
        self._compatible = compatible
        self._names: dict[ServerProvider, str] = {ollama: "ollama", compatible: "openai_compatible"}
        self._last: ServerProvider | None = None
        """What the log reported last."""
        self._task: asyncio.Task[ServerProvider] | None = None
        self._waiters = 0
        self.provider: ServerProvider | None = None
        """The provider that speaks the server's protocol; None if not known."""

    async def resolve(self) -> ServerProvider:
        """The server's provider; probes the server if it is not known.

        Raises:
            ModelError: the probe failed; the next call probes again.
        """
        return self.provider or await self.probe()

    async def probe(self) -> ServerProvider:
        """Probes the server again; meanwhile other callers use what is known. Raises as `resolve`."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        task = self._task
        self._waiters += 1
        try:
            # Shielded: a cancelled caller must not cancel the probe for the others.
            return await asyncio.shield(task)
        except ModelError as error:
            # A copy for each caller, which adds its target to it.
            raise copy.copy(error) from None
        finally:
            self._waiters -= 1
            if not self._waiters and not task.done():
                task.cancel()
                # New callers must not wait for a cancelled probe.
                self._task = None

    def reset(self) -> None:
        """Makes the next caller probe again."""
        self.provider = None

    async def stop(self) -> None:
        """Ends a running probe."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> ServerProvider:
        before = self._last
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                self.provider = self._last = await self._detect()
        except ModelError:
            self.provider = None
            raise
        except TimeoutError:
            self.provider = None
            raise BackendTimeout(f"the server did not say within {PROBE_TIMEOUT:g} s what it is") from None
        if self._last is not before:
            log.info("server_recognised", endpoint=self._last.endpoint, provider=self._names[self._last])
        return self._last

    async def _detect(self) -> ServerProvider:
        try:
            await self._ollama.check_server()
        except OTHER_PROTOCOL_ERRORS:
            pass
        else:
            return self._ollama
        try:
            await self._compatible.list_models()
        except ProtocolViolation as error:
            summary = f"the server is not Ollama and does not speak Chat Completions: {error.summary}"
            raise ProtocolViolation(summary, quote=error.quote) from None
        return self._compatible
