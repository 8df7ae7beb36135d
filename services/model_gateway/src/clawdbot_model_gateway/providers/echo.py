"""A model without a network: it repeats the last message. For trying things out and for load tests.

It counts its chunks as tokens, honours max_tokens and stop, never calls a tool, and embeds texts by their
words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import ClassVar, Final, Literal

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_LENGTH, FINISH_REASON_STOP
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section, Wait
from typing_extensions import override

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedder, EmbeddingResult, Provider, VendorModel
from clawdbot_model_gateway.core.supported_fields import warnings_for
from clawdbot_model_gateway.providers.hash_embeddings import DEFAULT_DIMENSIONS, hash_embedding
from clawdbot_model_gateway.providers.text_chunks import split_chunks
from clawdbot_model_gateway.settings import BackendSettings

MODEL: Final = "echo"

SUPPORTED_FIELDS: Final = frozenset({"sampling.max_tokens", "sampling.stop"})

CHUNKS_IN_A_ROW: Final = 256
"""Then others have a turn: the last message may have millions of characters."""

TRANSFORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "none": lambda text: text,
    "upper": str.upper,
    "lower": str.lower,
    "reverse": lambda text: text[::-1],
}


class EchoSettings(Section):
    """The keys of an echo backend."""

    transform: Literal["none", "upper", "lower", "reverse"] = "none"
    """How the text is changed."""
    delay: Wait = 0.0
    """Before the first chunk."""
    pace: Wait = 0.0
    """Between two chunks."""


class EchoProvider(Provider, Embedder):
    """Repeats the last message of a user or tool; without one, the last message of any role."""

    options: ClassVar[type[Section]] = EchoSettings

    def __init__(self, settings: BackendSettings, options: EchoSettings) -> None:
        self._max_tokens = settings.max_tokens
        self._stop = settings.stop
        self._options = options

    @property
    @override
    def endpoint(self) -> str:
        return ""

    @property
    @override
    def open_connections(self) -> int:
        return 0

    @override
    async def start(self) -> None:
        """There is nothing to open."""

    @override
    async def stop(self) -> None:
        """There is nothing to close."""

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        return (VendorModel(MODEL),)

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """Takes as long as the stream would."""
        chunks, complete = self._reply(request)
        await _sleep(self._options.delay + self._options.pace * max(0, len(chunks) - 1))
        text = [events.text_delta("".join(chunks))] if chunks else []
        return [_started(request, model), *text, *_end(request, chunks, complete=complete)]

    @override
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """Texts with words in common get vectors that are near each other."""
        return EmbeddingResult(
            [hash_embedding(text, dimensions or DEFAULT_DIMENSIONS) for text in texts],
            model,
            Usage(
                input_tokens=sum(len(split_chunks(text)) for text in texts),
                provenance=USAGE_PROVENANCE_REPORTED,
            ),
        )

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        chunks, complete = self._reply(request)
        yield _started(request, model)
        await _sleep(self._options.delay)
        for index, chunk in enumerate(chunks):
            if index:
                await _sleep(self._options.pace)
            if index % CHUNKS_IN_A_ROW == CHUNKS_IN_A_ROW - 1:
                await asyncio.sleep(0)
            yield events.text_delta(chunk)
        for event in _end(request, chunks, complete=complete):
            yield event

    def _reply(self, request: GenerateRequest) -> tuple[list[str], bool]:
        """The chunks of the reply, and whether they are all that there is to say."""
        sampling = request.sampling
        text = TRANSFORMS[self._options.transform](_last_text(request.messages))
        chunks = split_chunks(_cut_at_stop(text, tuple(sampling.stop) or self._stop))
        max_tokens = sampling.max_tokens if sampling.HasField("max_tokens") else self._max_tokens
        return chunks[:max_tokens], max_tokens is None or len(chunks) <= max_tokens


def _started(request: GenerateRequest, model: str) -> Event:
    return events.started(model, warnings_for(request, SUPPORTED_FIELDS, MODEL))


def _end(request: GenerateRequest, chunks: Sequence[str], *, complete: bool) -> tuple[Event, Event]:
    counted = Usage(
        input_tokens=sum(len(split_chunks(_text_of(message))) for message in request.messages),
        output_tokens=len(chunks),
        provenance=USAGE_PROVENANCE_REPORTED,
    )
    reason, raw = (FINISH_REASON_STOP, "stop") if complete else (FINISH_REASON_LENGTH, "length")
    return events.usage(counted), events.finished(reason, raw)


async def _sleep(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _last_text(messages: Sequence[Message]) -> str:
    candidates = (message for message in reversed(messages) if message.role in {ROLE_USER, ROLE_TOOL})
    return _text_of(next(candidates, messages[-1]))


def _text_of(message: Message) -> str:
    return "\n".join(filter(None, map(_part_text, message.parts)))


def _part_text(part: Part) -> str:
    kind = part.WhichOneof("content") or ""
    if kind == "text":
        return part.text
    if kind == "tool_result":
        return "\n".join(map(_part_text, part.tool_result.content))
    if kind in {"reasoning", "tool_call"}:
        return ""
    return f"[{kind}]"


def _cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence in it."""
    ends = [end for stop in stops if (end := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
