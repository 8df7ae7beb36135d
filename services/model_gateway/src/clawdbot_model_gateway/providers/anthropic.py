"""Anthropic's Messages API, and servers that speak it as well.

It always streams: only so can silence be told from a long answer, and the vendor asks for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, ClassVar, Final, Literal

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from pydantic import Field

from clawdbot_model_gateway.core.errors import ModelFailure, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import VendorModel
from clawdbot_model_gateway.formats.anthropic.models import ModelFacts, read_model, read_page
from clawdbot_model_gateway.formats.anthropic.request import RequestWriter, Usual
from clawdbot_model_gateway.formats.anthropic.response import MessageStream
from clawdbot_model_gateway.formats.anthropic.thinking import asks_of_the_model
from clawdbot_model_gateway.http import Answering, HttpPool, VendorErrors, streamed
from clawdbot_model_gateway.settings import BackendSettings

MESSAGES: Final = "messages"
COUNT: Final = "messages/count_tokens"
MODELS: Final = "models"

ANTHROPIC: Final = "https://api.anthropic.com"
VERSION: Final = "/v1"
"""What the paths begin with. ANTHROPIC_BASE_URL ends before it, other vendors' endpoints behind it."""
WITHOUT_SAMPLING: Final = "2026-10-21"
"""The version of the API that took temperature, top_p and top_k out; dates compare as texts."""
NO_LONGER: Final = frozenset({"sampling.temperature", "sampling.top_p", "sampling.top_k"})
PAGE: Final = "1000"
"""Models a page; the most that the API allows."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
"""Names of models that can stand in a path; a caller may ask for any."""
PAGES: Final = 10
"""A list that is longer has no end."""


class AnthropicSettings(Section):
    """The keys of an anthropic backend besides those of every backend."""

    api_version: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] = WITHOUT_SAMPLING
    """The `anthropic-version` header. 2023-06-01 takes temperature, top_p and top_k, where the model does."""
    key_header: str = "x-api-key"
    """The header of the key: as a bearer token in authorization, bare in any other."""
    prompt_cache: Literal["5m", "1h"] | None = None
    """How long the vendor keeps what it has read of a prompt, which makes the next request of the same
    conversation cheaper and this one dearer; left out: not at all."""


class AnthropicProvider:
    """A backend that speaks the Messages API."""

    options: ClassVar[type[Section]] = AnthropicSettings

    def __init__(self, settings: BackendSettings, options: AnthropicSettings) -> None:
        """Raises StartupError for what an operator can mend."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        further = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = VendorErrors([key, *further.values()])
        self._pool = HttpPool(
            f"{(settings.endpoint or ANTHROPIC).rstrip('/').removesuffix(VERSION)}{VERSION}",
            settings.http,
            headers={
                "anthropic-version": options.api_version,
                **_key_header(options.key_header, key),
                **further,
            },
            query={},
            errors=self._errors,
        )
        self._writer = RequestWriter(settings.provider, _usual(settings, options))
        self._known: dict[str, ModelFacts] = {}

    @property
    def endpoint(self) -> str:
        """As the port says."""
        return self._pool.endpoint

    @property
    def open_connections(self) -> int:
        """As the port says."""
        return self._pool.open_connections

    async def start(self) -> None:
        """As the port says."""
        await self._pool.start()

    async def stop(self) -> None:
        """As the port says."""
        await self._pool.stop()

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says; the newest first."""
        found: dict[str, ModelFacts] = {}
        after = ""
        for _ in range(PAGES):
            query = {"limit": PAGE, **({"after_id": after} if after else {})}
            page = read_page(await self._pool.get(MODELS, query))
            found.update(page.models)
            if not page.after:
                self._known = found
                return [VendorModel(name, facts.context_length) for name, facts in found.items()]
            after = page.after
        raise ProtocolViolation("its list of models has no end")

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        async with aclosing(self.stream(request, model)) as found:
            return [event async for event in found]

    def forms(self, _request: GenerateRequest, _model: str, /) -> frozenset[str]:
        """As the port says. Not by a tool: a model that thinks first cannot be made to call one."""
        return frozenset({"json_schema"})

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        return streamed(self._pool, lambda: self._ask(request, model))

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says; the vendor calls it an estimate, and does not bill for it."""
        body = self._writer.write_count(request, model, await self._facts(request, model))
        answer = await self._pool.read(await self._pool.post(COUNT, body))
        try:
            count = orjson.loads(answer)["input_tokens"]
        except (ValueError, TypeError, KeyError):
            count = None
        if not isinstance(count, int) or count < 0:
            raise ProtocolViolation(f"what it answers to POST {COUNT} is no count of tokens")
        return count

    async def _ask(self, request: GenerateRequest, model: str) -> Answering:
        encoded = self._writer.write(request, model, await self._facts(request, model))
        stream = MessageStream(model, encoded.warnings, encoded.names, self._errors)
        response = await self._pool.post(MESSAGES, encoded.body)
        return Answering(response, stream, whole=lambda body: self._whole(stream, body, response))

    def _whole(self, stream: MessageStream, body: bytes, response: aiohttp.ClientResponse) -> list[Event]:
        """A reply that came at once."""
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.garbled(body, response.headers) from None
        found: list[Event] = []
        stream.whole(message, found)
        return found

    async def _facts(self, request: GenerateRequest, model: str) -> ModelFacts:
        """What the model can do: from the list, or asked for where the request depends on it."""
        known = self._known.get(model)
        if known is not None or not asks_of_the_model(request) or not NAME.fullmatch(model):
            return known or ModelFacts()
        try:
            known = read_model(await self._pool.get(f"{MODELS}/{model}"))
        except ModelFailure:
            # Servers that imitate the API may not tell. What keeps us from asking keeps us from more.
            return ModelFacts()
        self._known[model] = known
        return known


def _key_header(name: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}


def _usual(settings: BackendSettings, options: AnthropicSettings) -> Usual:
    said = {
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    cache = options.prompt_cache
    return Usual(
        sampling={name: value for name, value in said.items() if value is not None},
        body={"cache_control": {"type": "ephemeral", "ttl": cache}} if cache else {},
        unsupported=NO_LONGER if options.api_version >= WITHOUT_SAMPLING else frozenset(),
    )
