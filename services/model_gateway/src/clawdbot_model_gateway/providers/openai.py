"""The provider for OpenAI's Responses API.

The vendor stores nothing: each request carries the whole conversation, encrypted reasoning included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.embeddings import decode_embeddings, encode_embeddings
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.responses.request import ModelProfile, RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.responses.response import ResponseDecoder
from clawdbot_model_gateway.providers.http_provider import HttpProvider
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


class OpenAIProvider(HttpProvider, LimitedFormats, Embedder, TokenCounter):
    """A backend that speaks the Responses API."""

    options: ClassVar[type[Section]] = OpenAISettings

    def __init__(self, settings: BackendSettings, options: OpenAISettings) -> None:
        """Raises StartupError for what an operator can fix."""
        super().__init__(settings, settings.endpoint or OPENAI, key_header=options.key_header)
        profile = ModelProfile(reasons=options.reasoning, unsupported=frozenset(options.unsupported))
        self._encoder = RequestEncoder(settings.provider, profile, _request_defaults(settings, options))

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
    def native_formats(self, _request: GenerateRequest, _model: str, /) -> frozenset[str]:
        return self._encoder.native_formats

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

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[aiohttp.ClientResponse, ReplyDecoder]:
        encoded = self._encoder.encode(request, model)
        response = await self._pool.post(RESPONSES_PATH, encoded.create_body(stream=stream))
        return response, ResponseDecoder(model, encoded.warnings, encoded.names, self._errors)


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
