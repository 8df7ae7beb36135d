"""The provider for the Gemini API of Google AI: generateContent, and streamGenerateContent as SSE.

The key goes in a header, never in the URL, where logs and proxies would see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

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
from clawdbot_model_gateway.formats.gemini.embeddings import EmbeddingBatches
from clawdbot_model_gateway.formats.gemini.models import ListedModel, decode_models, resource_path
from clawdbot_model_gateway.formats.gemini.request import SAMPLING, RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.gemini.response import ResponseDecoder
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.token_count import decode_token_count
from clawdbot_model_gateway.formats.vendor_profile import vendor_profile
from clawdbot_model_gateway.http import Response
from clawdbot_model_gateway.providers.http_provider import HttpProvider
from clawdbot_model_gateway.providers.sampling_defaults import sampling_defaults
from clawdbot_model_gateway.settings import BackendSettings

GEMINI: Final = "https://generativelanguage.googleapis.com"
API_VERSION: Final = "v1beta"
"""Added to an endpoint that ends without a version, as Google's own client does."""
_VERSION_SUFFIX: Final = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?/*$")
KEY_HEADER: Final = "x-goog-api-key"
SSE_QUERY: Final = {"alt": "sse"}
"""Without it a stream is one JSON list that grows."""

PAGE_SIZE: Final = "1000"
"""Models a page; the most that the API allows."""
MAX_PAGES: Final = 50
"""A longer list is treated as endless."""


class GeminiSettings(Section):
    """The keys that a gemini backend adds to those of every backend."""

    show_thoughts: bool = True
    """Whether to ask for the vendor's summary of the models' thoughts; they are billed either way."""
    thinking: Literal["auto", "level", "budget", "none"] = "auto"
    """How requests set the length of thinking: by level (Gemini 3), by budget (2.5), or not at all. auto
    decides by the model's name; a model with an unknown name is assumed not to think."""
    unsupported: tuple[str, ...] = ()
    """Fields that the models refuse, such as "sampling.presence_penalty": left out with a warning."""


class GeminiProvider(HttpProvider, LimitedFormats, Embedder, TokenCounter):
    """A backend that speaks the Gemini API."""

    options: ClassVar[type[Section]] = GeminiSettings

    def __init__(self, settings: BackendSettings, options: GeminiSettings) -> None:
        """Raises StartupError for what an operator can fix."""
        super().__init__(
            settings,
            _with_version(settings.endpoint or GEMINI),
            key_header=KEY_HEADER,
        )
        self._think_tags = ThinkTagModes(vendor_profile(self.endpoint).think_tags)
        self._encoder = RequestEncoder(
            settings.provider,
            _request_defaults(settings, options),
            thinking=None if options.thinking == "auto" else options.thinking,
            unsupported=frozenset(options.unsupported),
        )
        self._max_tokens: dict[str, int] = {}
        """Model → what it can output."""

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """Models that do not chat come last, since the first one may become the default."""
        found: list[ListedModel] = []
        token = ""
        for _ in range(MAX_PAGES):
            query = {"pageSize": PAGE_SIZE, **({"pageToken": token} if token else {})}
            body = await self._pool.get("models", query)
            try:
                page = orjson.loads(body)
                found += decode_models((page["models"] if page else None) or ())
                token = page.get("nextPageToken") or ""
            except (ValueError, TypeError, KeyError, AttributeError):
                raise ProtocolViolation("GET models did not return a list of models") from None
            if not token:
                self._max_tokens = {each.model.name: each.max_tokens for each in found}
                return [each.model for each in sorted(found, key=lambda each: not each.chats)]
        raise ProtocolViolation(f"its list of models did not end after {MAX_PAGES} pages")

    @override
    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        return self._encoder.native_formats(request, model)

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """Sends more texts than fit in one call in several, one after the other."""
        batches = EmbeddingBatches(texts, model, dimensions)
        for body in batches.bodies():
            with batches.mapping_dimension_errors():
                response = await self._post(model, "batchEmbedContents", body)
            batches.add(await self._read(response))
        return batches.result()

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        body = {"model": resource_path(model), **self._encoder.encode(request, model).body}
        response = await self._post(model, "countTokens", {"generateContentRequest": body})
        return decode_token_count(await self._read(response), "totalTokens", "countTokens")

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        encoded = self._encoder.encode(request, model, self._max_tokens.get(model, 0))
        method, query = ("streamGenerateContent", SSE_QUERY) if stream else ("generateContent", None)
        response = await self._post(model, method, encoded.body, query)
        return response, ResponseDecoder(
            model, encoded.warnings, encoded.names, self._errors, self._think_tags
        )

    async def _post(
        self, model: str, method: str, body: dict[str, Any], query: dict[str, str] | None = None
    ) -> Response:
        # Sorted, since a Struct keeps no order and the vendor's prompt cache compares bytes.
        wire = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        return await self._pool.post(f"{resource_path(model)}:{method}", wire, query)


def _with_version(endpoint: str) -> str:
    return endpoint if _VERSION_SUFFIX.search(endpoint) else f"{endpoint.rstrip('/')}/{API_VERSION}"


def _request_defaults(settings: BackendSettings, options: GeminiSettings) -> RequestDefaults:
    return RequestDefaults(show_thoughts=options.show_thoughts, config=sampling_defaults(settings, SAMPLING))
