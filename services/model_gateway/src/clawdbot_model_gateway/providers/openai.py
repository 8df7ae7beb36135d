"""OpenAI's Responses API.

Nothing is stored with the vendor: each request brings the whole conversation, encrypted thoughts included.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Final, Literal

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.formats.chat.embeddings import read_embeddings, write_embeddings
from clawdbot_model_gateway.formats.responses.request import Encoded, Habits, RequestWriter
from clawdbot_model_gateway.formats.responses.response import ReplyReader
from clawdbot_model_gateway.formats.responses.stream import ResponseStream
from clawdbot_model_gateway.http import Answering, HttpPool, VendorErrors, streamed
from clawdbot_model_gateway.providers.openai_compatible import EMBEDDINGS, MODELS, OPENAI, OTHERWISE
from clawdbot_model_gateway.settings import BackendSettings

RESPONSES: Final = "responses"
COUNT: Final = "responses/input_tokens"


class OpenAISettings(Section):
    """The keys of an openai backend besides those of every backend."""

    key_header: str = "authorization"
    """The header of the key: as a bearer token in authorization, bare in any other, such as Azure's
    "api-key"."""
    reasoning: bool | None = None
    """Whether the models reason. Else their names tell: all do that are newer than GPT-4."""
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = None
    """How much to ask for of what the models think, summed up by the vendor. Not asked for unless said: for
    some models only verified organisations may."""
    unsupported: tuple[str, ...] = ()
    """Fields that the models refuse, such as "sampling.max_tokens": asked for, they give a warning."""


class OpenAIProvider:
    """A backend that speaks the Responses API."""

    options: ClassVar[type[Section]] = OpenAISettings

    def __init__(self, settings: BackendSettings, options: OpenAISettings) -> None:
        """Raises StartupError for what an operator can mend."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        further = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = VendorErrors([key, *further.values()])
        self._pool = HttpPool(
            settings.endpoint or OPENAI,
            settings.http,
            headers={**_key_header(options.key_header, key), **further},
            query={},
            errors=self._errors,
        )
        self._writer = RequestWriter(settings.provider, _habits(settings, options))

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
        """As the port says. Models that do not chat come last, as the first one may become the default."""
        body = await self._pool.get(MODELS)
        try:
            found = [VendorModel(str(each["id"])) for each in orjson.loads(body)["data"] if each["id"]]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("what it answers to GET models is no list of models") from None
        return sorted(found, key=lambda each: bool(OTHERWISE.search(each.name)))

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        encoded = self._writer.write(request, model)
        response = await self._pool.post(RESPONSES, encoded.asked(stream=False))
        return self._whole(self._reader(encoded, model), await self._pool.read(response), response)

    def forms(self, _request: GenerateRequest, _model: str, /) -> frozenset[str]:
        """As the port says."""
        return self._writer.forms

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        return streamed(self._pool, lambda: self._ask(request, model))

    async def _ask(self, request: GenerateRequest, model: str) -> Answering:
        encoded = self._writer.write(request, model)
        reader = self._reader(encoded, model)
        response = await self._pool.post(RESPONSES, encoded.asked(stream=True))
        return Answering(
            response, ResponseStream(reader), whole=lambda body: self._whole(reader, body, response)
        )

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says."""
        response = await self._pool.post(EMBEDDINGS, write_embeddings(texts, model, dimensions))
        return read_embeddings(await self._pool.read(response), texts, model)

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says."""
        response = await self._pool.post(COUNT, self._writer.write(request, model).counted())
        try:
            count = orjson.loads(await self._pool.read(response))["input_tokens"]
        except (ValueError, TypeError, KeyError):
            count = None
        if not isinstance(count, int) or count < 0:
            raise ProtocolViolation(f"what it answers to POST {COUNT} is no count of tokens")
        return count

    def _reader(self, encoded: Encoded, model: str) -> ReplyReader:
        return ReplyReader(model, encoded.warnings, encoded.names, self._errors)

    def _whole(self, reader: ReplyReader, body: bytes, response: aiohttp.ClientResponse) -> list[Event]:
        """A response that came at once."""
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.garbled(body, response.headers) from None
        return reader.whole(answer)


def _key_header(name: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}


def _habits(settings: BackendSettings, options: OpenAISettings) -> Habits:
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
    return Habits(
        reasons=options.reasoning,
        summary=options.reasoning_summary,
        unsupported=frozenset(options.unsupported),
        defaults={name: value for name, value in said.items() if value is not None},
    )
