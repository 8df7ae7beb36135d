"""A GGUF file that the gateway runs itself, by llama.cpp as a library: for the edge, or a laptop.

A process of its own (llama/process.py) holds the model and speaks Chat Completions on a Unix socket that only
this user can open. The package is an extra: pip install "clawdbot-model-gateway[llama_cpp]".
"""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import ConfigPath, Section
from pydantic import Field

from clawdbot_model_gateway.core.errors import ModelMissing, ProtocolViolation, RequestRefused
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.http import HttpPool
from clawdbot_model_gateway.providers.llama.server_process import LlamaProcess, Plan
from clawdbot_model_gateway.providers.openai_compatible import (
    OpenAICompatibleProvider,
    OpenAICompatibleSettings,
)
from clawdbot_model_gateway.settings import BackendSettings

PACKAGE: Final = "xllamacpp"
MAGIC: Final = b"GGUF"
ROOT: Final = "http://localhost"
"""What the requests' Host header says; the socket leads elsewhere."""
BASE: Final = f"{ROOT}/v1"
COUNT: Final = "chat/completions/input_tokens"
CONNECTIONS: Final = 64
"""Requests at once, where the configuration says nothing. Each takes a thread of llama.cpp's, also while it
waits for a slot."""
LISTED_AFTER: Final = 1.0
"""Seconds that a list of models may take to learn the context length from a model that is being loaded."""
UNSUPPORTED: Final = ("sampling.reasoning_effort",)
"""llama.cpp takes the field and leaves it to the model's template, which rarely knows it."""


class LlamaCppSettings(Section):
    """The keys of a llama_cpp backend besides those of every backend."""

    path: ConfigPath
    """The GGUF file."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """Of the file; checked each time before it is loaded, which takes about a second for each GB."""
    context_length: Annotated[int, Field(ge=32)] = 8192
    """Tokens of a request and its reply together. The model's own, where that is less. Memory grows
    with it."""
    slots: Annotated[int, Field(ge=1, le=64)] = 1
    """Requests that are answered at the same time; more wait. Each has a context of its own, and its
    memory."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Of the processor; left out: one for each core."""
    gpu_layers: Annotated[int, Field(ge=0)] | None = None
    """Layers on the graphics card; left out: as many as fit."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """Makes the backend embed texts as well: how their tokens become one vector, as the model was trained."""


class LlamaCppProvider(OpenAICompatibleProvider):
    """A backend that is a file."""

    options: ClassVar[type[Section]] = LlamaCppSettings

    def __init__(self, settings: BackendSettings, options: LlamaCppSettings) -> None:
        """Raises StartupError for what an operator can mend: no package, no file, or one that is no GGUF."""
        _check(options.path)
        if "pool_size" not in settings.http.model_fields_set:
            http = settings.http.model_copy(update={"pool_size": CONNECTIONS})
            settings = settings.model_copy(update={"http": http})
        settings = settings.model_copy(update={"endpoint": BASE, "api_key": None})
        super().__init__(settings, OpenAICompatibleSettings(unsupported=UNSUPPORTED))
        # In a folder that only this user can enter; short, as a path to a socket may have 104 bytes only. By
        # its ending llama.cpp tells it from a host.
        socket = Path(tempfile.gettempdir()) / f"clawdbot-{secrets.token_hex(8)}" / "llama.sock"
        self._pool, self._root = (
            HttpPool(each, settings.http, headers={}, query={}, errors=self._errors, socket=str(socket))
            for each in (BASE, ROOT)
        )
        self._pooling = options.pooling
        self._name = settings.name or options.path.stem
        self._names = frozenset({self._name, *(each.name for each in settings.models)})
        plan = Plan(
            path=str(options.path),
            name=self._name,
            sha256=(options.sha256 or "").lower(),
            socket=str(socket),
            # Two more: whoever looks at the slots or counts tokens must not wait for them.
            connections=settings.http.pool_size + 2,
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            gpu_layers=options.gpu_layers,
            pooling=options.pooling,
        )
        self._process = LlamaProcess(plan)

    @property
    def endpoint(self) -> str:
        """As the port says: none."""
        return ""

    async def start(self) -> None:
        """As the port says: begins to load."""
        await super().start()
        self._process.start()

    async def stop(self) -> None:
        """As the port says. The model's memory is free afterwards."""
        await super().stop()
        await self._process.stop()

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says: one, its context length once it is loaded. Raises when it could not be loaded."""
        try:
            async with asyncio.timeout(LISTED_AFTER):
                await self._process.ready()
                body = await self._pool.get("models")
        except TimeoutError:
            return (VendorModel(self._name),)
        try:
            length = orjson.loads(body)["data"][0]["meta"]["n_ctx"]
        except (ValueError, TypeError, KeyError, IndexError):
            raise ProtocolViolation("llama.cpp does not say how long the model's context is") from None
        return (VendorModel(self._name, int(length)),)

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says. It streams all the same: only so can silence be told from a long answer."""
        async with aclosing(self.stream(request, model)) as events:
            return [event async for event in events]

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says. While the model is being loaded, it waits."""
        await self._loaded(model)
        async with aclosing(super().stream(request, self._name)) as events:
            async for event in events:
                yield event

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says, where `pooling` is configured."""
        if self._pooling is None:
            raise RequestRefused("it does not embed: set `pooling` as the model was trained, often mean")
        await self._loaded(model)
        return await super().embed(texts, self._name, dimensions)

    async def count_text(self, text: str, model: str) -> int:
        """As the port says."""
        await self._loaded(model)
        return await super().count_text(text, self._name)

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """As the port says: by the model's own template and vocabulary."""
        await self._loaded(model)
        encoded = self._writer.write(request, self._name, stream=False)
        body = await self._pool.read(await self._pool.post(COUNT, encoded.body))
        try:
            return int(orjson.loads(body)["input_tokens"])
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("llama.cpp does not say how many tokens there are") from None

    async def _loaded(self, model: str) -> None:
        if model not in self._names:
            raise ModelMissing(f"it has {self._name} and no other")
        await self._process.ready()


def _check(path: Path) -> None:
    """What can be seen without reading the file; the rest is llama.cpp's to say."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise StartupError(
            f"The provider llama_cpp needs the package {PACKAGE}: "
            'pip install "clawdbot-model-gateway[llama_cpp]".'
        )
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC))
    except OSError as error:
        raise StartupError(f"The model file {path} cannot be read: {error.strerror}. Check `path`.") from None
    if begin != MAGIC:
        raise StartupError(
            f"The model file {path} is no GGUF: it begins with {begin!r}. "
            "Give the .gguf file itself; a download that failed often leaves a page of HTML."
        )
