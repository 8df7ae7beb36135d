"""The provider for Ollama's own protocol, which reports more than the Chat Completions that it also speaks.

Ollama loads a model on its first request, which takes time: the default timeouts are longer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section, Whole
from clawdbot_servicekit.settings.values import MAX_COUNT
from pydantic import Field
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ModelError, ModelMissing
from clawdbot_model_gateway.core.provider import Embedder, EmbeddingResult, VendorModel
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.ollama.embeddings import decode_embeddings
from clawdbot_model_gateway.formats.ollama.models import (
    ListedModel,
    ModelProfile,
    decode_show,
    decode_tags,
    decode_version,
)
from clawdbot_model_gateway.formats.ollama.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.ollama.response import ResponseDecoder
from clawdbot_model_gateway.formats.record_parsers import LineOrEventParser
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.vendor_profile import ThinkTags, vendor_profile
from clawdbot_model_gateway.http import OpenResponse, Response
from clawdbot_model_gateway.providers.http_provider import HttpProvider
from clawdbot_model_gateway.providers.sampling_defaults import sampling_defaults
from clawdbot_model_gateway.settings import BackendSettings, HttpSettings

CHAT_PATH: Final = "api/chat"
EMBED_PATH: Final = "api/embed"
TAGS_PATH: Final = "api/tags"
SHOW_PATH: Final = "api/show"
VERSION_PATH: Final = "api/version"

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:11434"
PROTOCOL_SUFFIXES: Final = ("/v1", "/api")
"""Ends of an endpoint that mean one of Ollama's protocols; our paths begin before them."""

DEFAULT_TIMEOUTS: Final = {"read_timeout": 600.0, "idle_timeout": 300.0}
"""Seconds, unless configured. Ollama waits five minutes for a loading model to make progress
(OLLAMA_LOAD_TIMEOUT), and sends nothing while a model writes the arguments of a tool call."""
SHOW_TIMEOUT: Final = 1.0
"""Extra seconds for a list of models to find out what each can do; what is missing comes with the next
list."""
MAX_CONCURRENT_SHOWS: Final = 4
"""Models asked about at the same time; each makes Ollama read a file."""

OVERFLOW: Final = {"refuse": {"truncate": False, "shift": False}, "forget": {"truncate": True, "shift": True}}


class OllamaSettings(Section):
    """The keys that an ollama backend adds to those of every backend."""

    num_ctx: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] | None = None
    """Tokens of a request and its reply together; left out: the model's or Ollama's default, often 4096."""
    keep_alive: str | Annotated[Whole, Field(ge=-1, le=MAX_COUNT)] | None = None
    """How long the model stays loaded after a request: "10m", "-1" for ever, "0" not at all; left out:
    Ollama's default."""
    overflow: Literal["refuse", "forget"] = "refuse"
    """What happens to a conversation that is too long: it fails with CONTEXT_TOO_LONG, or Ollama silently
    drops the oldest messages."""
    think_tags: ThinkTags | None = None
    """Where the text of a reply contains reasoning in <think> tags, if Ollama does not take it out; left out:
    as the model's template and its replies say."""


class OllamaProvider(HttpProvider, Embedder):
    """A backend that is Ollama."""

    options: ClassVar[type[Section]] = OllamaSettings
    always_streams = True

    def __init__(self, settings: BackendSettings, options: OllamaSettings) -> None:
        """Raises StartupError for what an operator can fix."""
        super().__init__(
            settings,
            server_root(settings.endpoint or DEFAULT_ENDPOINT),
            http=_with_default_timeouts(settings.http),
        )
        self._encoder = RequestEncoder(settings.provider, _request_defaults(settings, options))
        self._think_tags = ThinkTagModes(options.think_tags or vendor_profile(self.endpoint).think_tags)
        self._num_ctx = options.num_ctx
        self._name = settings.name or ""
        self._profiles: dict[str, tuple[str, ModelProfile]] = {}
        """Name → digest and profile."""

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """Models that cannot chat come last, since the first one may become the default."""
        listed = decode_tags(await self._pool.get(TAGS_PATH))
        await self._refresh_profiles(listed)
        profiles = {
            self._configured_name(model.name): self._profiles.get(model.name, ("", ModelProfile()))[1]
            for model in listed
        }
        models = [VendorModel(name, profile.context_length) for name, profile in profiles.items()]
        return sorted(models, key=lambda model: not profiles[model.name].chats)

    async def check_server(self) -> None:
        """Returns if the server is Ollama.

        It asks two questions, since other servers answer one of them: llama.cpp's server lists its models at
        the same path, and Open WebUI has a version.

        Raises:
            ModelError: it is another server, or does not answer.
        """
        decode_version(await self._pool.get(VERSION_PATH))
        decode_tags(await self._pool.get(TAGS_PATH))

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """A text that is too long is an error; Ollama would truncate it."""
        body: dict[str, Any] = {"model": model, "input": list(texts), "truncate": False}
        if dimensions is not None:
            body["dimensions"] = dimensions
        response = await self._post(EMBED_PATH, orjson.dumps(body), model)
        return decode_embeddings(await self._read(response), texts, model)

    @override
    async def _open_stream(self, request: GenerateRequest, model: str) -> OpenResponse:
        response, decoder = await self._ask(request, model, stream=True)
        return OpenResponse(response, JsonStreamDecoder(LineOrEventParser(), decoder), content_type=None)

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        needs_profile = bool(request.sampling.reasoning_effort)
        profile = await self._profile(model) if needs_profile else ModelProfile()
        encoded = self._encoder.encode(request, model, profile)
        response = await self._post(CHAT_PATH, encoded.body, model)
        if "html" in response.content_type:
            raise self._errors.from_unparsable(await self._pool.read(response), response.headers)
        return response, ResponseDecoder(
            model, encoded.warnings, encoded.names, self._errors, self._think_tags
        )

    async def _post(self, path: str, body: bytes, model: str) -> Response:
        try:
            return await self._pool.post(path, body)
        except ModelMissing as error:
            if type(error) is not ModelMissing:
                raise  # no model of this server's
            advice = f"(on its host, run: ollama pull {model})"
            raise ModelMissing(error.summary, quote=f"{error.quote} {advice}".lstrip()) from error

    async def _profile(self, model: str) -> ModelProfile:
        """What the model can do; asked once, and again when a list shows that it has changed."""
        known = self._profiles.get(model)
        if known is None:
            try:
                response = await self._pool.post(SHOW_PATH, orjson.dumps({"model": model}))
                known = "", decode_show(await self._pool.read(response), self._num_ctx)
            except ModelError:
                # Servers that imitate Ollama may lack the path. Other causes will fail the request as well.
                return ModelProfile()
            self._profiles[model] = known
            self._think_tags.suggest(model, known[1].think_tags)
        return known[1]

    def _configured_name(self, name: str) -> str:
        """The name as the configuration has it: Ollama adds a tag to a name without one."""
        return self._name if name == f"{self._name}:latest" else name

    async def _refresh_profiles(self, listed: Sequence[ListedModel]) -> None:
        """Loads the profiles of models that are new or have changed, for SHOW_TIMEOUT at most."""
        digests = {model.name: model.digest for model in listed}
        self._profiles = {
            name: known for name, known in self._profiles.items() if digests.get(name) == known[0] != ""
        }
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_SHOWS)
        unknown = [model for model in listed if model.name not in self._profiles]
        try:
            async with asyncio.timeout(SHOW_TIMEOUT):
                async with asyncio.TaskGroup() as group:
                    for model in unknown:
                        group.create_task(self._load_profile(model, semaphore))
        except TimeoutError:
            pass  # The rest is listed without a profile.

    async def _load_profile(self, model: ListedModel, semaphore: asyncio.Semaphore) -> None:
        async with semaphore:
            try:
                response = await self._pool.post(SHOW_PATH, orjson.dumps({"model": model.name}))
                profile = decode_show(await self._pool.read(response), self._num_ctx)
            except ModelError:
                return  # It is listed without a profile; a request to it will report the error.
            self._profiles[model.name] = model.digest, profile
            self._think_tags.suggest(self._configured_name(model.name), profile.think_tags)


def server_root(endpoint: str) -> str:
    """The endpoint without a suffix that means one of Ollama's protocols."""
    endpoint = endpoint.rstrip("/")
    for suffix in PROTOCOL_SUFFIXES:
        endpoint = endpoint.removesuffix(suffix)
    return endpoint


def _with_default_timeouts(http: HttpSettings) -> HttpSettings:
    configured = http.model_fields_set
    return http.model_copy(
        update={key: value for key, value in DEFAULT_TIMEOUTS.items() if key not in configured}
    )


def _request_defaults(settings: BackendSettings, options: OllamaSettings) -> RequestDefaults:
    model_options = sampling_defaults(settings, {"max_tokens": "num_predict"})
    if options.num_ctx is not None:
        model_options["num_ctx"] = options.num_ctx
    body: dict[str, Any] = dict(OVERFLOW[options.overflow])
    if options.keep_alive is not None:
        body["keep_alive"] = _duration(options.keep_alive)
    return RequestDefaults(model_options, body)


def _duration(text: str | int) -> str | int:
    """A bare number means seconds to Ollama, but only as a number: it refuses "-1" as text."""
    return int(text) if str(text).lstrip("-").isdecimal() else text
