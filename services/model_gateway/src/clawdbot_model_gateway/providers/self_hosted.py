"""A model server of one's own, whatever it is: asks the endpoint, and becomes the provider for it.

Ollama is spoken to in its own protocol; everything else (vLLM, llama.cpp, SGLang, LM Studio …) in Chat
Completions. The server may be away when the gateway starts, and may come back as something else.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import ClassVar, Final, TypeVar

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from yarl import URL

from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendUnreachable,
    ModelFailure,
    ModelMissing,
    ProtocolViolation,
)
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import (
    Embedded,
    LimitedForms,
    TextCounter,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.token_counts import CountsNothing
from clawdbot_model_gateway.providers.ollama import OllamaProvider, OllamaSettings, root_of
from clawdbot_model_gateway.providers.openai_compatible import (
    OpenAICompatibleProvider,
    OpenAICompatibleSettings,
)
from clawdbot_model_gateway.providers.server_probe import Identity, Served
from clawdbot_model_gateway.settings import BackendSettings

PORT: Final = 11434
"""Where the endpoint names no port and does not begin with https."""
HERE: Final = f"http://127.0.0.1:{PORT}"

GONE: Final = (BackendUnreachable, BackendFailed)
"""What is seen of a server that goes away: no connection, or the end of one that was open."""
CHANGED: Final = (ProtocolViolation, ModelMissing)
"""What a server answers that is no longer what it was: it does not know the path, or not the model."""

EVERY_FORM: Final = frozenset({"json", "json_schema", "tool"})
"""What Ollama has fields for."""

T = TypeVar("T")

_VERSION: Final = re.compile(r"/v\d+[a-z0-9]*$")


class SelfHostedSettings(OllamaSettings, OpenAICompatibleSettings):
    """The keys of ollama and of openai_compatible, each for the case that the server turns out to be that."""


class SelfHostedProvider:
    """A backend of which only the address is known."""

    options: ClassVar[type[Section]] = SelfHostedSettings

    def __init__(self, settings: BackendSettings, options: SelfHostedSettings) -> None:
        """Raises StartupError for what an operator can mend."""
        endpoint = _with_port(settings.endpoint or HERE)
        root = settings.model_copy(update={"endpoint": root_of(endpoint)})
        versioned = endpoint if _VERSION.search(endpoint) else f"{root_of(endpoint)}/v1"
        self._ollama = OllamaProvider(root, options)
        self._compatible = OpenAICompatibleProvider(
            settings.model_copy(update={"endpoint": versioned}), options
        )
        self._identity = Identity(self._ollama, self._compatible)

    @property
    def endpoint(self) -> str:
        """As the port says; before it is known what answers, where that will be asked."""
        served = self._identity.known or self._ollama
        return served.endpoint

    @property
    def open_connections(self) -> int:
        """As the port says."""
        return self._ollama.open_connections + self._compatible.open_connections

    async def start(self) -> None:
        """As the port says."""
        await self._ollama.start()
        await self._compatible.start()

    async def stop(self) -> None:
        """As the port says."""
        await self._identity.stop()
        await self._ollama.stop()
        await self._compatible.stop()

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says. Lists are asked for seldom, and after a change: so is what the server is."""
        return await (await self._identity.ask_anew()).list_models()

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        return await self._either(lambda served: served.generate(request, model))

    def forms(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        """As the port says; where it is not known what answers, what any of them can."""
        served = self._identity.known or self._compatible
        return served.forms(request, model) if isinstance(served, LimitedForms) else EVERY_FORM

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        served = await self._identity.ask()
        other: Served | None = None
        begun = False
        try:
            async with aclosing(served.stream(request, model)) as events:
                async for event in events:
                    begun = True
                    yield event
        except ModelFailure as failure:
            other = None if begun else await self._other(served, failure)
            if other is None:
                raise
        if other is not None:
            async with aclosing(other.stream(request, model)) as events:
                async for event in events:
                    yield event

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says."""
        return await self._either(lambda served: served.embed(texts, model, dimensions))

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says. A count that the server cannot give is no reason to ask what it is."""
        served = await self._identity.ask()
        if not isinstance(served, TokenCounter):
            raise CountsNothing
        return await served.count_tokens(request, model)

    async def count_text(self, text: str, model: str) -> int:
        """As the port says."""
        served = await self._identity.ask()
        if not isinstance(served, TextCounter):
            raise CountsNothing
        return await served.count_text(text, model)

    async def _either(self, work: Callable[[Served], Awaitable[T]]) -> T:
        """The work done by what the server is; by what it has become, if that is why it failed."""
        served = await self._identity.ask()
        try:
            return await work(served)
        except ModelFailure as failure:
            other = await self._other(served, failure)
            if other is None:
                raise
        return await work(other)

    async def _other(self, served: Served, failure: ModelFailure) -> Served | None:
        """What the server has become, when this failure may come of it; None where it is what it was."""
        if isinstance(failure, GONE):
            # Whoever asks next finds out what has come back.
            self._identity.forget()
        if not isinstance(failure, CHANGED):
            return None
        try:
            other = await self._identity.ask_anew()
        except ModelFailure:
            return None  # The failure that it began with tells more.
        return None if other is served else other


def _with_port(endpoint: str) -> str:
    url = URL(endpoint)
    if url.explicit_port is None and url.scheme == "http":
        return str(url.with_port(PORT))
    return endpoint.rstrip("/")
