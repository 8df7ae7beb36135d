"""The provider for Chat Completions over HTTP.

OpenAI, vLLM, SGLang, llama.cpp, LM Studio, DeepSeek, Mistral, Groq, OpenRouter, Azure and many more speak it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Final

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.suggestions import nearest_or_all
from pydantic import AfterValidator
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    TextCounter,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.formats.chat.embeddings import decode_embeddings, encode_embeddings
from clawdbot_model_gateway.formats.chat.models import decode_models, decode_roots, decode_template
from clawdbot_model_gateway.formats.chat.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.chat.response import ResponseDecoder
from clawdbot_model_gateway.formats.chat.token_counts import TokenizeEndpoint
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes, jinja_opens_thought
from clawdbot_model_gateway.formats.vendor_profile import (
    VENDOR_PROFILES,
    ThinkTags,
    VendorProfile,
    vendor_profile,
)
from clawdbot_model_gateway.http import Response
from clawdbot_model_gateway.providers.http_provider import HttpProvider
from clawdbot_model_gateway.providers.sampling_defaults import sampling_defaults
from clawdbot_model_gateway.settings import BackendSettings

CHAT_PATH: Final = "chat/completions"
MODELS_PATH: Final = "models"
EMBEDDINGS_PATH: Final = "embeddings"
PROPS_PATH: Final = "props"
"""Of llama.cpp's server, above the version."""
PROPS_TIMEOUT: Final = 1.0
"""Extra seconds for a list of models to find out what the server's template is."""

OPENAI: Final = "https://api.openai.com/v1"


def _known_vendor(name: str) -> str:
    if name not in VENDOR_PROFILES:
        raise ValueError(f"not a known vendor{nearest_or_all(name, VENDOR_PROFILES)}")
    return name


class OpenAICompatibleSettings(Section):
    """The keys that an openai_compatible backend adds to those of every backend."""

    api_version: str | None = None
    """`api-version` in the URL, as Azure requires it."""
    key_header: str = "authorization"
    """The header of the key: as a bearer token in authorization, bare in any other, such as Azure's
    "api-key"."""
    max_tokens_field: str | None = None
    """Name of the field for max_tokens; left out: what the vendor is known to take."""
    unsupported: tuple[str, ...] = ()
    """Fields that the server refuses, such as "sampling.top_k": left out with a warning."""
    stream_usage: bool = True
    """Whether to ask for usage in streams; false for servers that refuse `stream_options`."""
    vendor: Annotated[str, AfterValidator(_known_vendor)] | None = None
    """The vendor whose API this is, as behind a proxy; left out: by the endpoint's host."""
    think_tags: ThinkTags | None = None
    """Where the text of a reply contains reasoning in <think> tags; left out: as the vendor is known
    to, or as the server, the model's name and its replies say."""


class OpenAICompatibleProvider(HttpProvider, LimitedFormats, Embedder, TokenCounter, TextCounter):
    """A backend that speaks Chat Completions."""

    options: ClassVar[type[Section]] = OpenAICompatibleSettings

    def __init__(
        self, settings: BackendSettings, options: OpenAICompatibleSettings, *, socket: str = ""
    ) -> None:
        """Raises StartupError for what an operator can fix."""
        endpoint = settings.endpoint or OPENAI
        super().__init__(
            settings,
            endpoint,
            key_header=options.key_header,
            query={"api-version": options.api_version} if options.api_version else {},
            socket=socket,
        )
        self._root = self._add_pool(_without_version(endpoint), query={})
        profile = _profile(endpoint, options)
        self._tokenize = TokenizeEndpoint(self._post_root, exists=profile.tokenizes)
        self._self_hosted = not profile.hosts
        self.always_streams = self.always_streams or profile.streams_only
        self._props_path = f"../{PROPS_PATH}" if _without_version(endpoint) != endpoint else PROPS_PATH
        self._think_tags = ThinkTagModes(profile.think_tags, by_name=self._self_hosted)
        self._encoder = RequestEncoder(settings.provider, profile, _request_defaults(settings))

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        body = await self._pool.get(MODELS_PATH)
        models = decode_models(body)
        if self._self_hosted and self._think_tags.is_auto:
            await self._ask_for_think_tags(body)
        return models

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        response = await self._pool.post(EMBEDDINGS_PATH, encode_embeddings(texts, model, dimensions))
        return decode_embeddings(await self._read(response), texts, model)

    @override
    async def count_text(self, text: str, model: str) -> int:
        """Only on servers with an endpoint that tokenizes."""
        return await self._tokenize.count_text(text, model)

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """Only on servers with an endpoint that tokenizes."""
        return await self._tokenize.count_chat(self._encoder.encode(request, model, stream=False).body, model)

    @override
    def native_formats(self, request: GenerateRequest, _model: str, /) -> frozenset[str]:
        """All that neither the vendor nor the configuration refuses."""
        return self._encoder.native_formats(request)

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        encoded = self._encoder.encode(request, model, stream=stream)
        response = await self._pool.post(CHAT_PATH, encoded.body)
        return response, ResponseDecoder(
            model, encoded.warnings, encoded.names, self._errors, self._think_tags
        )

    async def _ask_for_think_tags(self, listed: bytes) -> None:
        """What vLLM says about a model that it calls by another name, and llama.cpp about its template."""
        for name, root in decode_roots(listed).items():
            self._think_tags.suggest_name(name, root)
        try:
            async with asyncio.timeout(PROPS_TIMEOUT):
                template = decode_template(await self._pool.get(self._props_path))
        except (ModelError, TimeoutError):
            return  # Another server, or a busy one.
        if template:
            self._think_tags.suggest_for_all("open" if jinja_opens_thought(template) else "auto")

    async def _post_root(self, path: str, body: bytes) -> bytes:
        return await self._root.read(await self._root.post(path, body))


def _without_version(endpoint: str) -> str:
    """Where a server puts what is not part of OpenAI's API: above the version."""
    return re.sub(r"/v\d+/?$", "", endpoint)


def _profile(endpoint: str, options: OpenAICompatibleSettings) -> VendorProfile:
    """The vendor's profile, with what the configuration says instead."""
    profile = vendor_profile(endpoint, options.vendor)
    return replace(
        profile,
        max_tokens_field=options.max_tokens_field or profile.max_tokens_field,
        unsupported=profile.unsupported | set(options.unsupported),
        stream_usage=profile.stream_usage and options.stream_usage,
        think_tags=options.think_tags or profile.think_tags,
    )


def _request_defaults(settings: BackendSettings) -> RequestDefaults:
    return RequestDefaults(sampling_defaults(settings))
