"""Ollama by its own protocol, which says more than the Chat Completions that it speaks as well.

It loads a model when one is asked for, which takes its time: the usual patience is longer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, ClassVar, Final, Literal

import aiohttp
import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from pydantic import Field

from clawdbot_model_gateway.core.errors import ModelFailure, ModelMissing
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.formats.ollama.embeddings import read_embeddings
from clawdbot_model_gateway.formats.ollama.models import (
    Listed,
    ModelFacts,
    read_show,
    read_tags,
    read_version,
)
from clawdbot_model_gateway.formats.ollama.request import RequestWriter, Usual
from clawdbot_model_gateway.formats.ollama.stream import OllamaStream
from clawdbot_model_gateway.http import Answering, HttpPool, VendorErrors, streamed
from clawdbot_model_gateway.settings import BackendSettings, HttpSettings

CHAT: Final = "api/chat"
EMBED: Final = "api/embed"
TAGS: Final = "api/tags"
SHOW: Final = "api/show"
VERSION: Final = "api/version"

HERE: Final = "http://127.0.0.1:11434"
PREFIXES: Final = ("/v1", "/api")
"""Ends of an endpoint that mean one of its protocols; ours begins before them."""

PATIENT: Final = {"read_timeout": 600.0, "idle_timeout": 300.0}
"""Seconds, where the configuration says nothing. Ollama gives a model that loads five minutes without
progress (OLLAMA_LOAD_TIMEOUT), and says nothing while a model writes the arguments of a tool call."""
SHOW_FOR: Final = 1.0
"""Seconds that a list of models may take longer to tell what each can do; what is not told by then comes with
the next list."""
SHOW_AT_ONCE: Final = 4
"""Models asked about at the same time; each makes Ollama read a file."""

OVERFLOW: Final = {"refuse": {"truncate": False, "shift": False}, "forget": {"truncate": True, "shift": True}}


class OllamaSettings(Section):
    """The keys of an ollama backend besides those of every backend."""

    num_ctx: Annotated[int, Field(ge=1)] | None = None
    """Tokens of a request and its reply together; left out: the model's or Ollama's default, often 4096."""
    keep_alive: str | int | None = None
    """How long the model stays loaded after a request: "10m", "-1" for ever, "0" not at all; left out:
    Ollama's default."""
    overflow: Literal["refuse", "forget"] = "refuse"
    """What becomes of a conversation that does not fit: CONTEXT_TOO_LONG, or Ollama's own way, which drops
    the oldest messages and says nothing."""


class OllamaProvider:
    """A backend that is Ollama."""

    options: ClassVar[type[Section]] = OllamaSettings

    def __init__(self, settings: BackendSettings, options: OllamaSettings) -> None:
        """Raises StartupError for what an operator can mend."""
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        further = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = VendorErrors([key, *further.values()])
        self._pool = HttpPool(
            root_of(settings.endpoint or HERE),
            _patient(settings.http),
            headers={**({"authorization": f"Bearer {key}"} if key else {}), **further},
            query={},
            errors=self._errors,
        )
        self._writer = RequestWriter(settings.provider, _usual(settings, options))
        self._num_ctx = options.num_ctx
        self._name = settings.name or ""
        self._known: dict[str, tuple[str, ModelFacts]] = {}
        """Name → digest and facts."""

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
        """As the port says. Models that cannot chat come last, as the first one may become the default."""
        listed = read_tags(await self._pool.get(TAGS))
        await self._look_at(listed)
        facts = {
            self._as_written(each.name): self._known.get(each.name, ("", ModelFacts()))[1] for each in listed
        }
        found = [VendorModel(name, each.context_length) for name, each in facts.items()]
        return sorted(found, key=lambda each: not facts[each.name].chats)

    async def recognise(self) -> None:
        """Passes when this is Ollama.

        Others answer the one question or the other: llama.cpp's server lists its models at the same place,
        Open WebUI has a version.

        Raises:
            ModelFailure: it is something else, or does not answer.
        """
        read_version(await self._pool.get(VERSION))
        read_tags(await self._pool.get(TAGS))

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says. It streams all the same: only so can silence be told from a long answer."""
        async with aclosing(self.stream(request, model)) as events:
            return [event async for event in events]

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        return streamed(self._pool, lambda: self._ask(request, model))

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says. A text that is too long is a failure; Ollama would cut it off."""
        body: dict[str, Any] = {"model": model, "input": list(texts), "truncate": False}
        if dimensions is not None:
            body["dimensions"] = dimensions
        response = await self._post(EMBED, orjson.dumps(body), model)
        return read_embeddings(await self._pool.read(response), texts, model, dimensions)

    async def _ask(self, request: GenerateRequest, model: str) -> Answering:
        asks_for_thought = bool(request.sampling.reasoning_effort)
        facts = await self._facts(model) if asks_for_thought else ModelFacts()
        encoded = self._writer.write(request, model, facts)
        response = await self._post(CHAT, encoded.body, model)
        if "html" in response.content_type:
            raise self._errors.garbled(await self._pool.read(response), response.headers)
        stream = OllamaStream(model, encoded.warnings, encoded.names, self._errors)
        return Answering(response, stream, media=None)

    async def _post(self, path: str, body: bytes, model: str) -> aiohttp.ClientResponse:
        try:
            return await self._pool.post(path, body)
        except ModelMissing as failure:
            raise ModelMissing(f"{failure.detail} (where it runs: ollama pull {model})") from failure

    async def _facts(self, model: str) -> ModelFacts:
        """What the model can do; asked once, and again when a list shows that it has changed."""
        known = self._known.get(model)
        if known is None:
            response = await self._post(SHOW, orjson.dumps({"model": model}), model)
            known = "", read_show(await self._pool.read(response), self._num_ctx)
            self._known[model] = known
        return known[1]

    def _as_written(self, name: str) -> str:
        """The name as the configuration has it: Ollama adds a tag to one that has none."""
        return self._name if name == f"{self._name}:latest" else name

    async def _look_at(self, listed: Sequence[Listed]) -> None:
        """Learns what the models can do that are new or have changed, for a moment only."""
        digests = {each.name: each.digest for each in listed}
        self._known = {
            name: known for name, known in self._known.items() if digests.get(name) == known[0] != ""
        }
        one_of_few = asyncio.Semaphore(SHOW_AT_ONCE)
        unknown = [each for each in listed if each.name not in self._known]
        try:
            async with asyncio.timeout(SHOW_FOR):
                async with asyncio.TaskGroup() as group:
                    for each in unknown:
                        group.create_task(self._learn(each, one_of_few))
        except TimeoutError:
            pass  # They are listed without what they can do.

    async def _learn(self, each: Listed, one_of_few: asyncio.Semaphore) -> None:
        async with one_of_few:
            try:
                response = await self._pool.post(SHOW, orjson.dumps({"model": each.name}))
                facts = read_show(await self._pool.read(response), self._num_ctx)
            except ModelFailure:
                return  # It is listed all the same; who asks it for something is told why not.
            self._known[each.name] = each.digest, facts


def root_of(endpoint: str) -> str:
    """The endpoint without the end that means one of Ollama's protocols."""
    endpoint = endpoint.rstrip("/")
    for prefix in PREFIXES:
        endpoint = endpoint.removesuffix(prefix)
    return endpoint


def _patient(http: HttpSettings) -> HttpSettings:
    said = http.model_fields_set
    return http.model_copy(update={key: each for key, each in PATIENT.items() if key not in said})


def _usual(settings: BackendSettings, options: OllamaSettings) -> Usual:
    said = {
        "num_ctx": options.num_ctx,
        "num_predict": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    body: dict[str, Any] = dict(OVERFLOW[options.overflow])
    if options.keep_alive is not None:
        body["keep_alive"] = _duration(options.keep_alive)
    return Usual({name: value for name, value in said.items() if value is not None}, body)


def _duration(text: str | int) -> str | int:
    """A bare number is seconds to Ollama, and only as a number: it refuses "-1" as text."""
    return int(text) if str(text).lstrip("-").isdecimal() else text
