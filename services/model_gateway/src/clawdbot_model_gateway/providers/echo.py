"""A model without a network: it repeats what was said last. For trying things out, and for load.

It counts its pieces as tokens, keeps to max_tokens and stop, never calls a tool, and embeds texts by their
words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_LENGTH, FINISH_REASON_STOP
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Seconds, Section
from pydantic import Field

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Embedded, VendorModel
from clawdbot_model_gateway.core.supported_fields import warnings_for
from clawdbot_model_gateway.providers.hash_embeddings import DIMENSIONS, vector_of
from clawdbot_model_gateway.providers.text_chunks import pieces_of
from clawdbot_model_gateway.settings import BackendSettings

MODEL: Final = "echo"

HONOURED: Final = frozenset({"sampling.max_tokens", "sampling.stop"})

TRANSFORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "none": lambda text: text,
    "upper": str.upper,
    "lower": str.lower,
    "reverse": lambda text: text[::-1],
}


class EchoSettings(Section):
    """The keys of an echo backend."""

    transform: Literal["none", "upper", "lower", "reverse"] = "none"
    """What is done to the text."""
    delay: Seconds = 0.0
    """Before the first piece."""
    pace: Annotated[Seconds, Field(le=60)] = 0.0
    """Between two pieces."""


class EchoProvider:
    """Repeats the last message of a user or tool; the last of any, where neither has spoken."""

    options: ClassVar[type[Section]] = EchoSettings

    def __init__(self, settings: BackendSettings, options: EchoSettings) -> None:
        self._max_tokens = settings.max_tokens
        self._stop = settings.stop
        self._options = options

    @property
    def endpoint(self) -> str:
        """As the port says: none."""
        return ""

    @property
    def open_connections(self) -> int:
        """As the port says: none."""
        return 0

    async def start(self) -> None:
        """As the port says: there is nothing to open."""

    async def stop(self) -> None:
        """As the port says: there is nothing to close."""

    async def list_models(self) -> Sequence[VendorModel]:
        """As the port says: one."""
        return (VendorModel(MODEL),)

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """As the port says; it takes as long as the stream would."""
        return [event async for event in self.stream(request, model)]

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """As the port says: vectors in which texts with words in common are near each other."""
        return Embedded(
            [vector_of(text, dimensions or DIMENSIONS) for text in texts],
            model,
            Usage(
                input_tokens=sum(len(pieces_of(text)) for text in texts),
                provenance=USAGE_PROVENANCE_REPORTED,
            ),
        )

    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """As the port says."""
        yield events.started(model, warnings_for(request, HONOURED, MODEL))
        sampling = request.sampling
        text = TRANSFORMS[self._options.transform](_last_words(request.messages))
        text = _until(text, tuple(sampling.stop) or self._stop)
        limit = sampling.max_tokens if sampling.HasField("max_tokens") else self._max_tokens
        pieces = pieces_of(text)
        said = pieces if limit is None else pieces[:limit]
        await _wait(self._options.delay)
        for number, piece in enumerate(said):
            if number:
                await _wait(self._options.pace)
            yield events.text(piece)
        yield events.used(
            Usage(
                input_tokens=sum(len(pieces_of(_words(each))) for each in request.messages),
                output_tokens=len(said),
                provenance=USAGE_PROVENANCE_REPORTED,
            )
        )
        whole = len(said) == len(pieces)
        yield events.finished(
            FINISH_REASON_STOP if whole else FINISH_REASON_LENGTH,
            "stop" if whole else "length",
        )


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _last_words(messages: Sequence[Message]) -> str:
    heard = (each for each in reversed(messages) if each.role in {ROLE_USER, ROLE_TOOL})
    return _words(next(heard, messages[-1]))


def _words(message: Message) -> str:
    return "\n".join(filter(None, map(_part, message.parts)))


def _part(part: Part) -> str:
    kind = part.WhichOneof("content") or ""
    if kind == "text":
        return part.text
    if kind == "tool_result":
        return "\n".join(map(_part, part.tool_result.content))
    if kind in {"reasoning", "tool_call"}:
        return ""
    return f"[{kind}]"


def _until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first stop sequence in it."""
    ends = [end for stop in stops if (end := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
