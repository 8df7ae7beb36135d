"""How long a request or a text is for a model: asked of the backend, else counted here, else estimated.

A count that a backend cannot give is no failure: the next source gives it, and says how wrong it may be.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
from clawdbot.common.v1.message_pb2 import ROLE_USER, Message, Part
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    TOKEN_COUNT_SOURCE_ESTIMATE,
    TOKEN_COUNT_SOURCE_LOCAL,
    CountTokensRequest,
    CountTokensResponse,
)
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.structs import to_json

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import ModelFailure
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.provider import TextCounter, TokenCounter
from clawdbot_model_gateway.core.routing import ANY_MODEL, Target
from clawdbot_model_gateway.core.token_estimate import MEDIA_TOKENS, MESSAGE_OVERHEAD, SLACK, estimate_of
from clawdbot_model_gateway.core.tokenization import RememberingTokenizer, TextCount
from clawdbot_model_gateway.core.validation import RequestLimits, check

log = structlog.get_logger(__name__)

ON_THE_LOOP: Final = 4096
"""Characters that are counted at once; more go to a thread, where they hold up nobody."""
THREADS: Final = 2
"""Long texts that are counted at once; more wait, and leave with their callers."""
BACKEND_PATIENCE: Final = 10.0
"""Seconds that a backend has to count, at most half of what remains of the deadline."""
FRAMING: Final = 16
"""Tokens that a vendor's framing of one message may have, where a text can only be counted as one."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is to be counted, taken apart."""

    texts: Sequence[str]
    framed: int = 0
    """Messages and tools, each with tokens of the template around it."""
    media: int = 0
    """Images, sounds and documents."""

    @property
    def characters(self) -> int:
        """Of all texts."""
        return sum(map(len, self.texts))

    @property
    def around(self) -> int:
        """Tokens of what is no text, roughly."""
        return self.framed * MESSAGE_OVERHEAD + self.media * MEDIA_TOKENS


class Counting:
    """Counts tokens.

    Args:
        directory: what names mean.
        backends: by name.
        limits: what one request may be.
    """

    def __init__(
        self, directory: Directory, backends: Mapping[str, Backend], *, limits: RequestLimits
    ) -> None:
        self._directory = directory
        self._backends = backends
        self._limits = limits
        # Its own: long counts must not keep the loop's other threads, such as those that resolve names.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="count")

    def close(self) -> None:
        """Gives up what has not begun; counts that run end by themselves, within seconds."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def count(self, asked: CountTokensRequest) -> CountTokensResponse:
        """The count, who counted, and the bound.

        Raises:
            InvalidRequest: there is nothing to count, or it is at fault.
            UnknownModel: its model is not there.
        """
        self._check(asked)
        targets = await self._directory.targets(asked.model or asked.request.model)
        target = next((each for each in targets if not each.fallback), targets[0])
        backend = self._backends[target.backend]
        found = await self._by_backend(asked, backend, target)
        if found is not None:
            return found
        extent = extent_of(asked)
        if extent.characters <= ON_THE_LOOP:
            return _count(extent, backend.tokenizer)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _count, extent, backend.tokenizer)

    def _check(self, asked: CountTokensRequest) -> None:
        kind = asked.WhichOneof("input")
        if kind is None:
            raise InvalidRequest.of("input", "Give a request or a text.")
        if kind == "request":
            check(asked.request, self._limits)
        elif asked.ByteSize() > self._limits.max_bytes:
            raise InvalidRequest.of("text", f"At most {self._limits.max_bytes} bytes are allowed.")

    async def _by_backend(
        self, asked: CountTokensRequest, backend: Backend, target: Target
    ) -> CountTokensResponse | None:
        """The backend's own count; None where it has none."""
        provider = backend.provider
        bare = asked.WhichOneof("input") == "text"
        if not isinstance(provider, TextCounter | TokenCounter):
            return None
        if bare and not isinstance(provider, TextCounter) and backend.tokenizer is not None:
            return None  # A vendor would count its framing as well; the file counts the text alone.
        if bare and not asked.text:
            return None
        left = deadline.remaining()
        try:
            async with asyncio.timeout(min(BACKEND_PATIENCE, math.inf if left is None else left / 2)):
                with backend.serving():
                    model = await backend.model_for(target.model)
                    if not bare and isinstance(provider, TokenCounter):
                        return _exact(await provider.count_tokens(asked.request, model))
                    if bare and isinstance(provider, TextCounter):
                        return _exact(await provider.count_text(asked.text, model))
                    if bare and isinstance(provider, TokenCounter):
                        return _as_a_message(await provider.count_tokens(_message(asked.text), model))
        except (ModelFailure, TimeoutError) as failure:
            log.info(
                "backend_does_not_count",
                target=f"{target.backend}/{'' if target.model == ANY_MODEL else target.model}",
                reason=str(failure) or "no answer in time",
            )
        return None


def extent_of(asked: CountTokensRequest) -> Extent:
    """The texts of what is asked about, and the rest as numbers."""
    if asked.WhichOneof("input") == "text":
        return Extent((asked.text,))
    request = asked.request
    texts = [text for message in request.messages for part in message.parts for text in _texts(part)]
    for tool in request.tools:
        texts += [tool.name, tool.description, to_json(tool.input_schema).decode()]
    media = sum(_media(part) for message in request.messages for part in message.parts)
    return Extent(texts, len(request.messages) + len(request.tools), media)


def _texts(part: Part) -> Iterator[str]:
    kind = part.WhichOneof("content")
    if kind == "text":
        yield part.text
    elif kind == "reasoning":
        yield part.reasoning.text
    elif kind == "tool_call":
        yield part.tool_call.name
        yield to_json(part.tool_call.arguments).decode()
    elif kind == "tool_result":
        for each in part.tool_result.content:
            yield from _texts(each)


def _media(part: Part) -> int:
    if part.WhichOneof("content") == "tool_result":
        return sum(map(_media, part.tool_result.content))
    return int(part.WhichOneof("content") in {"image", "audio", "document"})


def _count(extent: Extent, tokenizer: RememberingTokenizer | None) -> CountTokensResponse:
    """By the tokenizer, else by estimate. What stands around the texts is an estimate either way."""
    around = extent.around
    if tokenizer is not None:
        parts = [tokenizer.count(text) for text in extent.texts] or [TextCount(0)]
        tokens = sum(each.tokens for each in parts) + around
        uncertain: float = sum(each.uncertain for each in parts) + around
        return _answer(tokens, TOKEN_COUNT_SOURCE_LOCAL, uncertain)
    estimates = [estimate_of(text) for text in extent.texts]
    tokens = math.ceil(sum(each.tokens for each in estimates)) + around
    uncertain = sum(each.uncertain for each in estimates) + around + (SLACK if tokens else 0)
    return _answer(tokens, TOKEN_COUNT_SOURCE_ESTIMATE, uncertain)


def _exact(tokens: int) -> CountTokensResponse:
    return _answer(tokens, TOKEN_COUNT_SOURCE_BACKEND, 0)


def _as_a_message(tokens: int) -> CountTokensResponse:
    return _answer(tokens, TOKEN_COUNT_SOURCE_BACKEND, FRAMING)


def _answer(tokens: int, source: int, uncertain: float) -> CountTokensResponse:
    bound = uncertain / tokens if tokens else 0.0
    return CountTokensResponse(tokens=tokens, source=source, error_bound=bound)  # type: ignore[arg-type]


def _message(text: str) -> GenerateRequest:
    return GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text=text)])])
