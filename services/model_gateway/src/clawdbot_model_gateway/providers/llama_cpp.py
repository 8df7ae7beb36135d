"""The provider for a GGUF file that the gateway runs itself, with llama.cpp as a library: for edge or laptop.

A separate process (llama/server_process.py) loads the model and speaks Chat Completions on a Unix socket that
only this user can open. The package is an extra: pip install "clawdbot-model-gateway[llama_cpp]".
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import secrets
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import require_regular
from clawdbot_servicekit.settings import ConfigPath, Seconds, Section, Whole
from clawdbot_servicekit.settings.shared import SHA256, SHA256_PATTERN
from clawdbot_servicekit.settings.values import MAX_COUNT, matching
from pydantic import Field
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ModelMissing, ProtocolViolation, RequestRefused
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import EmbeddingResult, VendorModel
from clawdbot_model_gateway.core.spending import note_sent
from clawdbot_model_gateway.formats.token_count import decode_token_count
from clawdbot_model_gateway.providers.llama.calls_by_schema import with_calls, without_tools
from clawdbot_model_gateway.providers.llama.machine_share import MachineShare
from clawdbot_model_gateway.providers.llama.server_process import LaunchSpec, LlamaServerProcess
from clawdbot_model_gateway.providers.openai_compatible import (
    OpenAICompatibleProvider,
    OpenAICompatibleSettings,
)
from clawdbot_model_gateway.settings import BackendSettings

PACKAGE: Final = "xllamacpp"
GGUF_MAGIC: Final = b"GGUF"
ENDPOINT: Final = "http://localhost/v1"
"""Its host is for the requests' Host header; the connection goes to the socket."""
COUNT_PATH: Final = "chat/completions/input_tokens"
DEFAULT_POOL_SIZE: Final = 64
"""Concurrent requests, unless configured. Each takes a thread of llama.cpp's, also while it waits for a
slot."""
LIST_TIMEOUT: Final = 1.0
"""Seconds that a list of models waits for a loading model, to learn its context length."""
TOOLS: Final = "tools"
"""In `unsupported`: the model cannot call tools."""
UNSUPPORTED: Final = ("sampling.reasoning_effort",)
"""llama.cpp takes the field and leaves it to the model's template, which rarely knows it."""


class LlamaCppSettings(Section):
    """The keys that a llama_cpp backend adds to those of every backend."""

    path: ConfigPath
    """The GGUF file."""
    sha256: Annotated[str, matching(SHA256_PATTERN, SHA256)] | None = None
    """Of the file; checked before each load, which takes about a second for each GB."""
    context_length: Annotated[Whole, Field(ge=32, le=MAX_COUNT)] = 8192
    """Tokens of a request and its reply together, limited by the model's own context length. Memory grows
    with it."""
    slots: Annotated[Whole, Field(ge=1, le=64)] = 1
    """Requests that are answered at the same time; more wait. Each has its own context, in its own
    memory."""
    threads: Annotated[Whole, Field(ge=1, le=4096)] | None = None
    """CPU threads; left out: one for each core."""
    gpu_layers: Annotated[Whole, Field(ge=0, le=100_000)] | None = None
    """Layers on the GPU; left out: as many as fit."""
    system_prompt: str = ""
    """For a model that cannot call tools: replaces instructions that come with tools which are not offered,
    and is used where a request has none. Small models follow only short ones."""
    unsupported: tuple[str, ...] = ()
    """Fields that the model cannot honour: left out with a warning. With "tools" among them, a call that the
    request requires is written by a grammar, and tools that the model may choose from are not offered."""
    unload_after: Annotated[Seconds, Field(gt=0)] | None = None
    """Loads the model at the first request, once for all workers and gateways of this user, and frees its
    memory after this time without a request. Omitted: each worker loads it at the start and keeps it."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """Makes the backend embed texts as well: how a text's tokens become one vector. Use what the model was
    trained with."""


class LlamaCppProvider(OpenAICompatibleProvider):
    """A backend that is a file."""

    options: ClassVar[type[Section]] = LlamaCppSettings
    always_streams = True

    def __init__(self, settings: BackendSettings, options: LlamaCppSettings) -> None:
        """Raises StartupError for what an operator can fix: no package, no file, or not a GGUF file."""
        _check_file(options.path)
        if "pool_size" not in settings.http.model_fields_set:
            http = settings.http.model_copy(update={"pool_size": DEFAULT_POOL_SIZE})
            settings = settings.model_copy(update={"http": http})
        settings = settings.model_copy(update={"endpoint": ENDPOINT, "api_key": None, "headers": {}})
        # A model that comes and goes is shared by all of this user's gateways. The suffix of the socket tells
        # llama.cpp that it is not a host.
        share = MachineShare(_key(settings, options)) if options.unload_after is not None else None
        own = Path(tempfile.gettempdir()) / f"clawdbot-{secrets.token_hex(8)}" / "llama.sock"
        socket = own if share is None else share.socket
        super().__init__(
            settings,
            OpenAICompatibleSettings(unsupported=(*UNSUPPORTED, *options.unsupported)),
            socket=str(socket),
        )
        self._system_prompt = options.system_prompt
        self._calls_tools = TOOLS not in options.unsupported
        self._pooling = options.pooling
        self._name = settings.name or options.path.stem
        self._names = frozenset({self._name, *(model.name for model in settings.models)})
        spec = LaunchSpec(
            path=str(options.path),
            name=self._name,
            sha256=(options.sha256 or "").lower(),
            socket=str(socket),
            # Two more, so that looking at the slots and counting tokens need not wait for replies.
            connections=settings.http.pool_size + 2,
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            gpu_layers=options.gpu_layers,
            pooling=options.pooling,
        )
        self._process = LlamaServerProcess(spec, options.unload_after, share)

    @property
    @override
    def endpoint(self) -> str:
        return ""

    @override
    async def start(self) -> None:
        """Begins to load the model, unless `unload_after` has it wait for a request."""
        await super().start()
        self._process.start()

    @override
    async def stop(self) -> None:
        """Afterwards the model's memory is free."""
        await super().stop()
        await self._process.stop()

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """One model, with its context length once it is loaded. Raises if it could not be loaded."""
        if self._process.is_unloaded:
            return (VendorModel(self._name),)
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                await self._process.ready()
                body = await self._pool.get("models")
        except TimeoutError:
            return (VendorModel(self._name),)
        try:
            length = orjson.loads(body)["data"][0]["meta"]["n_ctx"]
        except (ValueError, TypeError, KeyError, IndexError):
            raise ProtocolViolation("llama.cpp did not report the model's context length") from None
        return (VendorModel(self._name, int(length)),)

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """Waits while the model is being loaded."""
        note_sent(False)
        async with self._loaded(model), aclosing(self._reply(request)) as events:
            async for event in events:
                yield event

    def _reply(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        if self._calls_tools:
            return super().stream(request, self._name)
        return with_calls(request, super().stream(self._without_tools(request), self._name))

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """Only if `pooling` is configured."""
        if self._pooling is None:
            raise RequestRefused(
                "this backend does not embed: set `pooling` to what the model was trained with, often mean"
            )
        async with self._loaded(model):
            return await super().embed(texts, self._name, dimensions)

    @override
    async def count_text(self, text: str, model: str) -> int:
        async with self._loaded(model):
            return await super().count_text(text, self._name)

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """With the model's own template and vocabulary."""
        async with self._loaded(model):
            asked = request if self._calls_tools else self._without_tools(request)
            encoded = self._encoder.encode(asked, self._name, stream=False)
            response = await self._pool.post(COUNT_PATH, encoded.body)
            return decode_token_count(await self._read(response), "input_tokens", "llama.cpp")

    def _without_tools(self, request: GenerateRequest) -> GenerateRequest:
        return without_tools(request, self._system_prompt)

    @asynccontextmanager
    async def _loaded(self, model: str) -> AsyncIterator[None]:
        """The model stays loaded inside the block. Raises ModelError if it cannot be loaded."""
        if model not in self._names:
            raise ModelMissing(f"this backend has only the model {self._name}")
        async with self._process.in_use():
            yield


def _key(settings: BackendSettings, options: LlamaCppSettings) -> str:
    """The same for gateways that would load the same file in the same way."""
    found = options.path.stat()
    facts = (
        options.model_dump_json(),
        settings.name,
        settings.http.pool_size,
        found.st_ino,
        found.st_mtime_ns,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _check_file(path: Path) -> None:
    """Checks what is visible without reading the whole file; llama.cpp reports the rest."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise StartupError(
            f"The provider llama_cpp needs the package {PACKAGE}: "
            'pip install "clawdbot-model-gateway[llama_cpp]".'
        )
    try:
        require_regular(path)
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise StartupError(f"The model file {path} cannot be read: {error.strerror}. Check `path`.") from None
    if magic != GGUF_MAGIC:
        raise StartupError(
            f"The model file {path} is not a GGUF file: it begins with {magic!r}. "
            "Give the .gguf file itself; a failed download often leaves an HTML page."
        )
