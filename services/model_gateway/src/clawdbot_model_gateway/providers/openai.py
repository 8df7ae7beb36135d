"""The provider for OpenAI's Responses API.

The vendor stores nothing: each request carries the whole conversation, encrypted reasoning included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from typing_extensions import override

from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.embeddings import decode_embeddings, encode_embeddings
from clawdbot_model_gateway.formats.chat.models import decode_models
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.responses.request import ModelProfile, RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.responses.response import ResponseDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.token_count import decode_token_count
from clawdbot_model_gateway.formats.vendor_profile import vendor_profile
from clawdbot_model_gateway.http import Response
from clawdbot_model_gateway.providers.http_provider import HttpProvider
from clawdbot_model_gateway.providers.openai_compatible import (
    EMBEDDINGS_PATH,
    MODELS_PATH,
    OPENAI,
)
from clawdbot_model_gateway.providers.sampling_defaults import sampling_defaults
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
        vendor = vendor_profile(self.endpoint)
        self._think_tags = ThinkTagModes(vendor.think_tags)
        profile = ModelProfile(
            reasons=options.reasoning,
            unsupported=frozenset(options.unsupported),
            strict_schemas=vendor.strict_schemas,
        )
        self._encoder = RequestEncoder(settings.provider, profile, _request_defaults(settings, options))

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        return decode_models(await self._pool.get(MODELS_PATH))

    @override
    def native_formats(self, request: GenerateRequest, _model: str, /) -> frozenset[str]:
        return self._encoder.native_formats(request)

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        response = await self._pool.post(EMBEDDINGS_PATH, encode_embeddings(texts, model, dimensions))
        return decode_embeddings(await self._read(response), texts, model)

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        response = await self._pool.post(COUNT_PATH, self._encoder.encode(request, model).count_body())
        return decode_token_count(await self._read(response), "input_tokens", f"POST {COUNT_PATH}")

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        encoded = self._encoder.encode(request, model)
        response = await self._pool.post(RESPONSES_PATH, encoded.create_body(stream=stream))
        return response, ResponseDecoder(
            model, encoded.warnings, encoded.names, self._errors, self._think_tags
        )


def _request_defaults(settings: BackendSettings, options: OpenAISettings) -> RequestDefaults:
    return RequestDefaults(reasoning_summary=options.reasoning_summary, sampling=sampling_defaults(settings))
