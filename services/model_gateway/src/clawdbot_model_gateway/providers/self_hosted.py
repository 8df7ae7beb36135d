"""The provider for any self-hosted model server: asks the endpoint what it is and speaks its protocol.

To Ollama it speaks Ollama's own protocol, to everything else (vLLM, llama.cpp, SGLang, LM Studio …) Chat
Completions. The server may be down when the gateway starts, and may come back as another kind of server.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import ClassVar, Final, TypeVar

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from typing_extensions import override
from yarl import URL

from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendUnreachable,
    ModelError,
    ModelMissing,
    ProtocolViolation,
)
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    Provider,
    TextCounter,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.token_counts import TokenizeUnsupported
from clawdbot_model_gateway.providers.ollama import OllamaProvider, OllamaSettings, server_root
from clawdbot_model_gateway.providers.openai_compatible import (
    OpenAICompatibleProvider,
    OpenAICompatibleSettings,
)
from clawdbot_model_gateway.providers.server_probe import ServerProbe, ServerProvider
from clawdbot_model_gateway.settings import BackendSettings

DEFAULT_PORT: Final = 11434
"""If the endpoint names no port and does not begin with https."""
DEFAULT_ENDPOINT: Final = f"http://127.0.0.1:{DEFAULT_PORT}"

SERVER_GONE: Final = (BackendUnreachable, BackendFailed)
"""Errors of a server that goes away: no connection, or the end of one that was open."""
SERVER_CHANGED: Final = (ProtocolViolation, ModelMissing)
"""Errors of a server that has become another kind: it does not know the path, or not the model."""

ALL_FORMATS: Final = frozenset({"json", "json_schema", "tool"})
"""What Ollama has fields for."""

T = TypeVar("T")

_VERSION_SUFFIX: Final = re.compile(r"/v\d+[a-z0-9]*$")


class SelfHostedSettings(OllamaSettings, OpenAICompatibleSettings):
    """The keys of ollama and of openai_compatible; which of them apply depends on the server."""


class SelfHostedProvider(Provider, LimitedFormats, Embedder, TokenCounter, TextCounter):
    """A backend of which only the address is known."""

    options: ClassVar[type[Section]] = SelfHostedSettings

    def __init__(self, settings: BackendSettings, options: SelfHostedSettings) -> None:
        """Raises StartupError for what an operator can fix."""
        endpoint = _with_port(settings.endpoint or DEFAULT_ENDPOINT)
        root = server_root(endpoint)
        versioned = endpoint if _VERSION_SUFFIX.search(endpoint) else f"{root}/v1"
        self._ollama = OllamaProvider(settings.model_copy(update={"endpoint": root}), options)
        self._compatible = OpenAICompatibleProvider(
            settings.model_copy(update={"endpoint": versioned}), options
        )
        self._probe = ServerProbe(self._ollama, self._compatible)

    @property
    @override
    def endpoint(self) -> str:
        """Before the first probe, where the probe will ask."""
        provider = self._probe.provider or self._ollama
        return provider.endpoint

    @property
    @override
    def open_connections(self) -> int:
        return self._ollama.open_connections + self._compatible.open_connections

    @property
    @override
    def idle_connections(self) -> int:
        return self._ollama.idle_connections + self._compatible.idle_connections

    @property
    @override
    def waiting_for_connection(self) -> int:
        return self._ollama.waiting_for_connection + self._compatible.waiting_for_connection

    @property
    @override
    def is_cold(self) -> bool:
        provider = self._probe.provider
        return provider is not None and provider.is_cold

    @override
    async def warm(self) -> None:
        """Before the first probe it is not known which of the two will be used."""
        if self._probe.provider is not None:
            await self._probe.provider.warm()

    @property
    @override
    def max_concurrency(self) -> int | None:
        return self._compatible.max_concurrency

    @override
    async def start(self) -> None:
        await self._ollama.start()
        await self._compatible.start()

    @override
    async def stop(self) -> None:
        await self._probe.stop()
        await self._ollama.stop()
        await self._compatible.stop()

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """Probes the server each time: lists are asked for seldom, and after a change."""
        return await (await self._probe.probe()).list_models()

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        return await self._call(lambda provider: provider.generate(request, model))

    @override
    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        """Before the first probe, all that Chat Completions has fields for."""
        provider = self._probe.provider or self._compatible
        return (
            provider.native_formats(request, model) if isinstance(provider, LimitedFormats) else ALL_FORMATS
        )

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        provider = await self._probe.resolve()
        other: ServerProvider | None = None
        begun = False
        try:
            async with aclosing(provider.stream(request, model)) as events:
                async for event in events:
                    begun = True
                    yield event
        except ModelError as error:
            other = None if begun else await self._changed_provider(provider, error)
            if other is None:
                raise
        if other is not None:
            async with aclosing(other.stream(request, model)) as events:
                async for event in events:
                    yield event

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        return await self._call(lambda provider: provider.embed(texts, model, dimensions))

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """A failed count does not cause another probe."""
        provider = await self._probe.resolve()
        if not isinstance(provider, TokenCounter):
            raise TokenizeUnsupported
        return await provider.count_tokens(request, model)

    @override
    async def count_text(self, text: str, model: str) -> int:
        provider = await self._probe.resolve()
        if not isinstance(provider, TextCounter):
            raise TokenizeUnsupported
        return await provider.count_text(text, model)

    async def _call(self, call: Callable[[ServerProvider], Awaitable[T]]) -> T:
        """Calls the server's provider; if that fails because the server has changed, calls the other one."""
        provider = await self._probe.resolve()
        try:
            return await call(provider)
        except ModelError as error:
            other = await self._changed_provider(provider, error)
            if other is None:
                raise
        return await call(other)

    async def _changed_provider(self, provider: ServerProvider, error: ModelError) -> ServerProvider | None:
        """The other provider, if the server has become another kind and so caused this error; else None."""
        if isinstance(error, SERVER_GONE):
            # The next request finds out what has come back.
            self._probe.reset()
        if not isinstance(error, SERVER_CHANGED):
            return None
        try:
            other = await self._probe.probe()
        except ModelError:
            return None  # The first error tells more.
        return None if other is provider else other


def _with_port(endpoint: str) -> str:
    url = URL(endpoint)
    if url.explicit_port is None and url.scheme == "http":
        return str(url.with_port(DEFAULT_PORT))
    return endpoint.rstrip("/")
