"""Chat Completions over HTTP.

OpenAI, vLLM, SGLang, llama.cpp, LM Studio, DeepSeek, Mistral, Groq, OpenRouter, Azure and many more speak it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Final

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from yarl import URL

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.formats.chat.embeddings import read_embeddings, write_embeddings
from clawdbot_model_gateway.formats.chat.request import Dialect, Encoded, RequestWriter
from clawdbot_model_gateway.formats.chat.response import ReplyReader
from clawdbot_model_gateway.formats.chat.stream import ChatStream
from clawdbot_model_gateway.formats.chat.token_counts import TokenEndpoint
from clawdbot_model_gateway.http import Answering, HttpPool, VendorErrors, streamed
from clawdbot_model_gateway.settings import BackendSettings

CHAT: Final = "chat/completions"
MODELS: Final = "models"
EMBEDDINGS: Final = "embeddings"

OPENAI: Final = "https://api.openai.com/v1"
DIALECTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "api.openai.com": {
        "max_tokens": "max_completion_tokens",
        "unsupported": frozenset({"sampling.top_k"}),
    },
}
"""Host → how it differs from the others."""

OTHERWISE: Final = re.compile(
    r"embed|rerank|whisper|tts|transcribe|dall-e|image|moderation|realtime|sora|audio", re.IGNORECASE
)
"""Names of models that do not chat; they come last in the list, as the first one may become the default."""

CONTEXT_LENGTHS: Final = ("max_model_len", "context_length", "context_window", "max_context_length")
"""Where servers say it in a list of models: vLLM, OpenRouter, Groq, Mistral."""


class OpenAICompatibleSettings(Section):
    """The keys of an openai_compatible backend besides those of every backend."""

    api_version: str | None = None
    """`api-version` in the URL, as Azure wants it."""
    key_header: str = "authorization"
    """The header of the key: as a bearer token in authorization, bare in any other, such as Azure's
    "api-key"."""
    max_tokens_field: str | None = None
    """Name of the field for max_tokens, where it is not what the host is known to want."""
    unsupported: tuple[str, ...] = ()
    """Fields that the server refuses, such as "sampling.top_k": asked for, they give a warning."""
    stream_usage: bool = True
    """Whether to ask for usage in streams; false for servers that refuse `stream_options`."""


class OpenAICompatibleProvider:
    """A backend that speaks Chat Completions."""

    options: ClassVar[type[Section]] = OpenAICompatibleSettings

    def __init__(self, settings: BackendSettings, options: OpenAICompatibleSettings) -> None:
        """Raises StartupError for what an operator can mend."""
        endpoint = settings.endpoint or OPENAI
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        further = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = VendorErrors([key, *further.values()])
        self._pool = HttpPool(
            endpoint,
            settings.http,
            headers=_headers(options, key, further),
            query={"api-version": options.api_version} if options.api_version else {},
            errors=self._errors,
        )
        self._root = HttpPool(
            _beside(endpoint),
            settings.http,
            headers=_headers(options, key, further),
            query={},
            errors=self._errors,
        )
        self._counts = TokenEndpoint(self._ask_root, there=URL(endpoint).host not in DIALECTS)
        self._writer = RequestWriter(settings.provider, _dialect(endpoint, settings, options))

    @property
    def endpoint(self) -> str:
        """As the port says."""
        return self._pool.endpoint

    @property
    def open_connections(self) -> int:
        """As the port says."""
        return self._pool.open_connections + self._root.open_connections

    async def start(self) -> None:
        """As the port says."""
        await self._pool.start()
        await self._root.start()

    async def stop(self) -> None:
        """As the port says."""
        await self._pool.stop()
        await self._root.stop()

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says."""
        body = await self._pool.get(MODELS)
        try:
            listed = orjson.loads(body)["data"]
            found = [VendorModel(str(each["id"]), _context_length(each)) for each in listed if each["id"]]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("what it answers to GET models is no list of models") from None
        # Stable: what can chat keeps the backend's order.
        return sorted(found, key=lambda each: bool(OTHERWISE.search(each.name)))

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        encoded = self._writer.write(request, model, stream=False)
        response = await self._pool.post(CHAT, encoded.body)
        return self._whole(self._reader(encoded, model), await self._pool.read(response), response)

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says."""
        response = await self._pool.post(EMBEDDINGS, write_embeddings(texts, model, dimensions))
        return read_embeddings(await self._pool.read(response), texts, model)

    async def count_text(self, text: str, model: str) -> int:
        """As the port says, where the server tokenizes."""
        return await self._counts.text(text, model)

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says, where the server tokenizes."""
        return await self._counts.chat(self._writer.write(request, model, stream=False).body, model)

    def forms(self, _request: GenerateRequest, _model: str, /) -> frozenset[str]:
        """As the port says: what the server was not said to refuse."""
        return self._writer.forms

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        return streamed(self._pool, lambda: self._ask(request, model))

    async def _ask(self, request: GenerateRequest, model: str) -> Answering:
        encoded = self._writer.write(request, model, stream=True)
        reader = self._reader(encoded, model)
        response = await self._pool.post(CHAT, encoded.body)
        return Answering(
            response,
            ChatStream(reader, self._errors),
            whole=lambda body: self._whole(reader, body, response),
        )

    def _reader(self, encoded: Encoded, model: str) -> ReplyReader:
        return ReplyReader(model, encoded.warnings, encoded.names, self._errors)

    def _whole(self, reader: ReplyReader, body: bytes, response: aiohttp.ClientResponse) -> list[Event]:
        """A reply that came at once."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.garbled(body, response.headers) from None
        found = reader.take(reply)
        if not reader.said and not reader.word:
            raise ProtocolViolation("its answer holds no reply")
        return found + reader.end()

    async def _ask_root(self, path: str, body: bytes) -> bytes:
        return await self._root.read(await self._root.post(path, body))


def _beside(endpoint: str) -> str:
    """Where a server has what is not OpenAI's: above the version."""
    return re.sub(r"/v\d+/?$", "", endpoint)


def _headers(options: OpenAICompatibleSettings, key: str, further: Mapping[str, str]) -> dict[str, str]:
    return {**_key_header(options.key_header, key), **further}


def _key_header(name: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}


def _dialect(endpoint: str, settings: BackendSettings, options: OpenAICompatibleSettings) -> Dialect:
    known = DIALECTS.get(URL(endpoint).host or "", {})
    max_tokens = options.max_tokens_field or known.get("max_tokens", "max_tokens")
    unsupported = known.get("unsupported", frozenset()) | set(options.unsupported)
    said = {
        max_tokens: settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    return Dialect(
        max_tokens=max_tokens,
        unsupported=unsupported,
        usage_on_request=options.stream_usage,
        defaults={name: value for name, value in said.items() if value is not None},
    )


def _context_length(listed: Mapping[str, Any]) -> int:
    return next((each for key in CONTEXT_LENGTHS if isinstance(each := listed.get(key), int)), 0)
