"""The provider for OpenAI's Responses API.

The vendor stores nothing: each request carries the whole conversation, encrypted reasoning included.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Final, Literal

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    Provider,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.embeddings import decode_embeddings, encode_embeddings
from clawdbot_model_gateway.formats.responses.request import (
    EncodedRequest,
    ModelProfile,
    RequestDefaults,
    RequestEncoder,
)
from clawdbot_model_gateway.formats.responses.response import ResponseDecoder
from clawdbot_model_gateway.formats.responses.stream import ResponsesStreamDecoder
from clawdbot_model_gateway.http import ErrorMapper, HttpPool, OpenResponse, stream_events
from clawdbot_model_gateway.providers.openai_compatible import (
    EMBEDDINGS_PATH,
    MODELS_PATH,
    NON_CHAT_MODELS,
    OPENAI,
)
from clawdbot_model_gateway.settings import BackendSettings

RESPONSES_PATH: Final = "responses"
COUNT_PATH: Final = "responses/input_tokens"


class OpenAISettings(Section):
    """The keys that an openai backend adds to those of every backend."""

    key_header: str = "authorization"
    """The header of the key: as a bearer token in authorization, bare in any other, such as Azure's
    "api-key"."""
    reasoning: bool | None = None
    """Whether the models reason; left out: by their names. All that are newer than GPT-4 do."""
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = None
    """How detailed a summary of the reasoning to ask for; left out: none. For some models only verified
    organisations may ask."""
    unsupported: tuple[str, ...] = ()
    """Fields that the models refuse, such as "sampling.max_tokens": left out with a warning."""


class OpenAIProvider(Provider, LimitedFormats, Embedder, TokenCounter):
    """A backend that speaks the Responses API."""

    options: ClassVar[type[Section]] = OpenAISettings

    def __init__(self, settings: BackendSettings, options: OpenAISettings) -> None:
        """Raises StartupError for what an operator can fix."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        extra_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = ErrorMapper([key, *extra_headers.values()])
        self._pool = HttpPool(
            settings.endpoint or OPENAI,
            settings.http,
            headers={**_key_header(options.key_header, key), **extra_headers},
            query={},
            errors=self._errors,
        )
        profile = ModelProfile(reasons=options.reasoning, unsupported=frozenset(options.unsupported))
        self._encoder = RequestEncoder(settings.provider, profile, _request_defaults(settings, options))

    @property
    @override
    def endpoint(self) -> str:
        return self._pool.endpoint

    @property
    @override
    def open_connections(self) -> int:
        return self._pool.open_connections

    @override
    async def start(self) -> None:
        await self._pool.start()

    @override
    async def stop(self) -> None:
        await self._pool.stop()

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """Models that do not chat come last, since the first one may become the default."""
        body = await self._pool.get(MODELS_PATH)
        try:
            models = [VendorModel(str(each["id"])) for each in orjson.loads(body)["data"] if each["id"]]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("GET models did not return a list of models") from None
        return sorted(models, key=lambda model: bool(NON_CHAT_MODELS.search(model.name)))

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        encoded = self._encoder.encode(request, model)
        response = await self._pool.post(RESPONSES_PATH, encoded.create_body(stream=False))
        return self._decode_whole(self._decoder(encoded, model), await self._pool.read(response), response)

    @override
    def native_formats(self, _request: GenerateRequest, _model: str, /) -> frozenset[str]:
        return self._encoder.native_formats

    @override
    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        return stream_events(self._pool, lambda: self._start_stream(request, model))

    async def _start_stream(self, request: GenerateRequest, model: str) -> OpenResponse:
        encoded = self._encoder.encode(request, model)
        decoder = self._decoder(encoded, model)
        response = await self._pool.post(RESPONSES_PATH, encoded.create_body(stream=True))
        return OpenResponse(
            response,
            ResponsesStreamDecoder(decoder),
            decode_whole=lambda body: self._decode_whole(decoder, body, response),
        )

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        response = await self._pool.post(EMBEDDINGS_PATH, encode_embeddings(texts, model, dimensions))
        return decode_embeddings(await self._pool.read(response), texts, model)

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        response = await self._pool.post(COUNT_PATH, self._encoder.encode(request, model).count_body())
        try:
            count = orjson.loads(await self._pool.read(response))["input_tokens"]
        except (ValueError, TypeError, KeyError):
            count = None
        if not isinstance(count, int) or count < 0:
            raise ProtocolViolation(f"POST {COUNT_PATH} returned no token count")
        return count

    def _decoder(self, encoded: EncodedRequest, model: str) -> ResponseDecoder:
        return ResponseDecoder(model, encoded.warnings, encoded.names, self._errors)

    def _decode_whole(
        self, decoder: ResponseDecoder, body: bytes, response: aiohttp.ClientResponse
    ) -> list[Event]:
        """A response that came at once."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.from_unparsable(body, response.headers) from None
        return decoder.decode_whole(reply)


def _key_header(name: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}


def _request_defaults(settings: BackendSettings, options: OpenAISettings) -> RequestDefaults:
    sampling = {
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    return RequestDefaults(
        reasoning_summary=options.reasoning_summary,
        sampling={name: value for name, value in sampling.items() if value is not None},
    )
