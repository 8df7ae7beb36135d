"""What a model server is, found out by asking it: once for all who want to know at the same time."""

from __future__ import annotations

import asyncio
import copy
from typing import Final, TypeAlias

import structlog

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendTimeout,
    ModelFailure,
    ModelMissing,
    ProtocolViolation,
    RequestRefused,
)
from clawdbot_model_gateway.providers.ollama import OllamaProvider
from clawdbot_model_gateway.providers.openai_compatible import OpenAICompatibleProvider

log = structlog.get_logger(__name__)

Served: TypeAlias = OllamaProvider | OpenAICompatibleProvider

ANSWERED: Final = (ProtocolViolation, BackendAuth, RequestRefused, ModelMissing)
"""Failures after which another protocol may still succeed: the server is there and minds the question. Some
answer 401 to every path that they do not know."""
ASK_FOR: Final = 10.0
"""Seconds for the whole question, which takes three requests."""


class Identity:
    """Which of two providers fits the server."""

    def __init__(self, ollama: OllamaProvider, compatible: OpenAICompatibleProvider) -> None:
        self._ollama = ollama
        self._compatible = compatible
        self._names: dict[Served, str] = {ollama: "ollama", compatible: "openai_compatible"}
        self._told: Served | None = None
        """What the log says that it is."""
        self._asking: asyncio.Task[Served] | None = None
        self._waiting = 0
        self.known: Served | None = None
        """The provider that fits; None until it has been asked."""

    async def ask(self) -> Served:
        """The provider that fits, asked of the server where it is not known.

        Raises:
            ModelFailure: the server does not say now; the next one to ask asks it again.
        """
        return self.known or await self.ask_anew()

    async def ask_anew(self) -> Served:
        """The provider that fits now; those who know one go on with it meanwhile. Raises as `ask`."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._find_out())
        asking = self._asking
        self._waiting += 1
        try:
            # Shielded: who gives up takes the answer from nobody else.
            return await asyncio.shield(asking)
        except ModelFailure as failure:
            # Each caller notes in it where it happened.
            raise copy.copy(failure) from None
        finally:
            self._waiting -= 1
            if not self._waiting and not asking.done():
                asking.cancel()
                # Whoever comes now must not wait for a question that nobody asks any more.
                self._asking = None

    def forget(self) -> None:
        """Lets the next one ask again."""
        self.known = None

    async def stop(self) -> None:
        """Ends a question that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
            self._asking = None

    async def _find_out(self) -> Served:
        before = self._told
        try:
            async with asyncio.timeout(ASK_FOR):
                self.known = self._told = await self._fitting()
        except ModelFailure:
            self.known = None
            raise
        except TimeoutError:
            self.known = None
            raise BackendTimeout(f"it did not say within {ASK_FOR:g} s what it is") from None
        if self._told is not before:
            log.info("server_recognised", endpoint=self._told.endpoint, provider=self._names[self._told])
        return self._told

    async def _fitting(self) -> Served:
        try:
            await self._ollama.recognise()
        except ANSWERED:
            pass
        else:
            return self._ollama
        try:
            await self._compatible.list_models()
        except ProtocolViolation as failure:
            raise ProtocolViolation(
                f"it is neither Ollama nor does it speak Chat Completions: {failure.detail}"
            ) from None
        return self._compatible
