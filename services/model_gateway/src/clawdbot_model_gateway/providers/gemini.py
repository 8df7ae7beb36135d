"""The Gemini API of Google AI: generateContent, and streamGenerateContent as server-sent events.

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

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.formats.gemini.errors import GeminiErrors
from clawdbot_model_gateway.formats.gemini.models import listed, resource
from clawdbot_model_gateway.formats.gemini.request import SAMPLING, Encoded, Habits, RequestWriter
from clawdbot_model_gateway.formats.gemini.response import ReplyReader
from clawdbot_model_gateway.formats.gemini.stream import GeminiStream
from clawdbot_model_gateway.formats.gemini.token_counts import Embeddings, total_tokens
from clawdbot_model_gateway.http import Answering, HttpPool, streamed
from clawdbot_model_gateway.settings import BackendSettings

GEMINI: Final = "https://generativelanguage.googleapis.com"
VERSION: Final = "v1beta"
"""Added to an endpoint that ends without one, as Google's own client takes it."""
VERSIONED: Final = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?/*$")
KEY: Final = "x-goog-api-key"
EVENTS: Final = {"alt": "sse"}
"""Without it a stream is one JSON list that grows."""

PAGE: Final = "1000"
"""Models of one page, the most that there can be."""
PAGES: Final = 50
"""A list that does not end by then never will."""


class GeminiSettings(Section):
    """The keys of a gemini backend besides those of every backend."""

    show_thoughts: bool = True
    """Whether to ask for what the models think, summed up by the vendor; it is billed either way."""
    thinking: Literal["auto", "level", "budget", "none"] = "auto"
    """How the models are told to think: by level (Gemini 3), by budget (2.5), not at all; auto goes by their
    names, and takes a name that tells nothing for a model that does not think."""
    unsupported: tuple[str, ...] = ()
    """Fields that the models refuse, such as "sampling.presence_penalty": asked for, they give a warning."""


class GeminiProvider:
    """A backend that speaks the Gemini API."""

    options: ClassVar[type[Section]] = GeminiSettings

    def __init__(self, settings: BackendSettings, options: GeminiSettings) -> None:
        """Raises StartupError for what an operator can mend."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        further = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = GeminiErrors([key, *further.values()])
        self._pool = HttpPool(
            _versioned(settings.endpoint or GEMINI),
            settings.http,
            headers={**({KEY: key} if key else {}), **further},
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
        found: list[tuple[VendorModel, bool]] = []
        token = ""
        for _ in range(PAGES):
            query = {"pageSize": PAGE, **({"pageToken": token} if token else {})}
            body = await self._pool.get("models", query)
            try:
                page = orjson.loads(body)
                found += listed(page["models"] if page else ())
                token = page.get("nextPageToken") or ""
            except (ValueError, TypeError, KeyError, AttributeError):
                raise ProtocolViolation("what it answers to GET models is no list of models") from None
            if not token:
                return [each for each, _ in sorted(found, key=lambda each: not each[1])]
        raise ProtocolViolation("its list of models does not end")

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says."""
        encoded = self._writer.write(request, model)
        response = await self._post(model, "generateContent", encoded.body)
        return self._whole(self._reader(encoded, model), await self._pool.read(response), response)

    def forms(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        """As the port says."""
        return self._writer.forms(request, model)

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        return streamed(self._pool, lambda: self._ask(request, model))

    async def _ask(self, request: GenerateRequest, model: str) -> Answering:
        encoded = self._writer.write(request, model)
        reader = self._reader(encoded, model)
        response = await self._post(model, "streamGenerateContent", encoded.body, EVENTS)
        # JSON comes from a proxy that lost `alt`: the same pieces, in a list.
        return Answering(
            response, GeminiStream(reader), whole=lambda body: self._whole(reader, body, response)
        )

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says. More texts than fit in one call are sent in several, one after the other."""
        embeddings = Embeddings(texts, model, dimensions)
        for batch in embeddings.batches():
            with embeddings.naming_dimensions():
                response = await self._post(model, "batchEmbedContents", batch)
            embeddings.take(await self._pool.read(response))
        return embeddings.whole()

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says."""
        body = {"model": resource(model), **self._writer.write(request, model).body}
        response = await self._post(model, "countTokens", {"generateContentRequest": body})
        return total_tokens(await self._pool.read(response))

    async def _post(
        self, model: str, method: str, body: dict[str, Any], query: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        # Sorted, as a Struct keeps no order and the vendor's prompt cache compares bytes.
        wire = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        return await self._pool.post(f"{resource(model)}:{method}", wire, query)

    def _reader(self, encoded: Encoded, model: str) -> ReplyReader:
        return ReplyReader(model, encoded.warnings, encoded.names, self._errors)

    def _whole(self, reader: ReplyReader, body: bytes, response: aiohttp.ClientResponse) -> list[Event]:
        """A reply that came at once, in one piece or a list of them."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._errors.garbled(body, response.headers) from None
        pieces = reply if isinstance(reply, list) else [reply]
        found = [event for piece in pieces for event in reader.take(piece)]
        if not reader.said and not reader.word:
            raise ProtocolViolation("its answer holds no reply")
        return found + reader.end()


def _versioned(endpoint: str) -> str:
    return endpoint if VERSIONED.search(endpoint) else f"{endpoint.rstrip('/')}/{VERSION}"


def _habits(settings: BackendSettings, options: GeminiSettings) -> Habits:
    said = {wire: getattr(settings, name) for name, wire in SAMPLING.items()}
    said["stopSequences"] = list(settings.stop) or None
    return Habits(
        thinking=None if options.thinking == "auto" else options.thinking,
        show_thoughts=options.show_thoughts,
        unsupported=frozenset(options.unsupported),
        defaults={name: value for name, value in said.items() if value is not None},
    )
