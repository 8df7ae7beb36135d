"""The provider for the Gemini API of Google AI: generateContent, and streamGenerateContent as SSE.

The key goes in a header, never in the URL, where logs and proxies would see it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, ClassVar, Final, Literal

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
from clawdbot_model_gateway.formats.gemini.embeddings import EmbeddingBatches
from clawdbot_model_gateway.formats.gemini.errors import GeminiErrorMapper
from clawdbot_model_gateway.formats.gemini.models import decode_models, resource_path
from clawdbot_model_gateway.formats.gemini.request import (
    SAMPLING,
    EncodedRequest,
    RequestDefaults,
    RequestEncoder,
)
from clawdbot_model_gateway.formats.gemini.response import ResponseDecoder
from clawdbot_model_gateway.formats.gemini.stream import GeminiStreamDecoder
from clawdbot_model_gateway.formats.gemini.token_counts import decode_total_tokens
from clawdbot_model_gateway.http import HttpPool, OpenResponse, stream_events
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


class GeminiProvider(Provider, LimitedFormats, Embedder, TokenCounter):
    """A backend that speaks the Gemini API."""

    options: ClassVar[type[Section]] = GeminiSettings

    def __init__(self, settings: BackendSettings, options: GeminiSettings) -> None:
        """Raises StartupError for what an operator can fix."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        extra_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = GeminiErrorMapper([key, *extra_headers.values()])
        self._pool = HttpPool(
            _with_version(settings.endpoint or GEMINI),
            settings.http,
            headers={**({KEY_HEADER: key} if key else {}), **extra_headers},
            query={},
            errors=self._errors,
        )
        self._encoder = RequestEncoder(
            settings.provider,
            _request_defaults(settings, options),
            thinking=None if options.thinking == "auto" else options.thinking,
            unsupported=frozenset(options.unsupported),
        )

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
        found: list[tuple[VendorModel, bool]] = []
        token = ""
        for _ in range(MAX_PAGES):
            query = {"pageSize": PAGE_SIZE, **({"pageToken": token} if token else {})}
            body = await self._pool.get("models", query)
            try:
                page = orjson.loads(body)
                found += decode_models(page["models"] if page else ())
                token = page.get("nextPageToken") or ""
            except (ValueError, TypeError, KeyError, AttributeError):
                raise ProtocolViolation("GET models did not return a list of models") from None
            if not token:
                return [model for model, _ in sorted(found, key=lambda pair: not pair[1])]
        raise ProtocolViolation(f"its list of models did not end after {MAX_PAGES} pages")

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        encoded = self._encoder.encode(request, model)
        response = await self._post(model, "generateContent", encoded.body)
        return self._decode_whole(self._decoder(encoded, model), await self._pool.read(response), response)

    @override
    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        return self._encoder.native_formats(request, model)

    @override
    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        return stream_events(self._pool, lambda: self._start_stream(request, model))

    async def _start_stream(self, request: GenerateRequest, model: str) -> OpenResponse:
        encoded = self._encoder.encode(request, model)
        decoder = self._decoder(encoded, model)
        response = await self._post(model, "streamGenerateContent", encoded.body, SSE_QUERY)
        # JSON comes from a proxy that dropped `alt`: the same chunks, in a list.
        return OpenResponse(
            response,
            GeminiStreamDecoder(decoder),
            decode_whole=lambda body: self._decode_whole(decoder, body, response),
        )

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """Sends more texts than fit in one call in several, one after the other."""
        batches = EmbeddingBatches(texts, model, dimensions)
        for body in batches.bodies():
            with batches.mapping_dimension_errors():
                response = await self._post(model, "batchEmbedContents", body)
            batches.add(await self._pool.read(response))
        return batches.result()

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        body = {"model": resource_path(model), **self._encoder.encode(request, model).body}
        response = await self._post(model, "countTokens", {"generateContentRequest": body})
        return decode_total_tokens(await self._pool.read(response))

    async def _post(
        self, model: str, method: str, body: dict[str, Any], query: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        # Sorted, since a Struct keeps no order and the vendor's prompt cache compares bytes.
        wire = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        return await self._pool.post(f"{resource_path(model)}:{method}", wire, query)

    def _decoder(self, encoded: EncodedRequest, model: str) -> ResponseDecoder:
        return ResponseDecoder(model, encoded.warnings, encoded.names, self._errors)

    def _decode_whole(
        self, decoder: ResponseDecoder, body: bytes, response: aiohttp.ClientResponse
    ) -> list[Event]:
        """A reply that came at once, as one chunk or a list of them."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.from_unparsable(body, response.headers) from None
        chunks = reply if isinstance(reply, list) else [reply]
        events = [event for chunk in chunks for event in decoder.decode(chunk)]
        if not decoder.has_content and not decoder.finish_reason:
            raise ProtocolViolation("the response contains no reply")
        return events + decoder.finish()


def _with_version(endpoint: str) -> str:
    return endpoint if _VERSION_SUFFIX.search(endpoint) else f"{endpoint.rstrip('/')}/{API_VERSION}"


def _request_defaults(settings: BackendSettings, options: GeminiSettings) -> RequestDefaults:
    config = {wire: getattr(settings, name) for name, wire in SAMPLING.items()}
    config["stopSequences"] = list(settings.stop) or None
    return RequestDefaults(
        show_thoughts=options.show_thoughts,
        config={name: value for name, value in config.items() if value is not None},
    )
