"""Counts the tokens of a request or a text: by the backend, else by a local tokenizer, else by estimate.

A backend that cannot count is not an error: the next source counts, and reports its error bound.
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
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.provider import TextCounter, TokenCounter
from clawdbot_model_gateway.core.routing.router import Router
from clawdbot_model_gateway.core.routing.routing_table import ANY_MODEL, Target
from clawdbot_model_gateway.core.tokens.token_estimate import (
    MEDIA_TOKENS,
    MESSAGE_OVERHEAD,
    MIN_UNCERTAINTY,
    estimate_text,
)
from clawdbot_model_gateway.core.tokens.tokenization import CachingTokenizer, TextCount
from clawdbot_model_gateway.core.validation import RequestLimits, validate_request

log = structlog.get_logger(__name__)

MAX_INLINE_CHARACTERS: Final = 4096
"""Characters that are counted on the event loop; longer texts are counted in a thread."""
MAX_THREADS: Final = 2
"""Long texts that are counted at the same time; more wait, and a cancelled caller stops waiting."""
BACKEND_TIMEOUT: Final = 10.0
"""Seconds that a backend has to count; never more than half of what remains of the deadline."""
FRAMING_TOKENS: Final = 16
"""Most tokens that a vendor's framing of one message adds, where a text can only be counted as a message."""


@dataclass(frozen=True, slots=True)
class CountInput:
    """The parts of a request that are counted."""

    texts: Sequence[str]
    framed_items: int = 0
    """Number of messages and tools; the chat template adds tokens around each."""
    media: int = 0
    """Number of images, audio clips and documents."""

    @property
    def characters(self) -> int:
        """Length of all texts together."""
        return sum(map(len, self.texts))

    @property
    def overhead_tokens(self) -> int:
        """Estimated tokens of everything that is not text."""
        return self.framed_items * MESSAGE_OVERHEAD + self.media * MEDIA_TOKENS


class TokenCounts:
    """Answers CountTokens.

    Args:
        router: resolves names to targets.
        backends: by name.
        limits: of one request.
    """

    def __init__(self, router: Router, backends: Mapping[str, Backend], *, limits: RequestLimits) -> None:
        self._router = router
        self._backends = backends
        self.limits = limits
        # Its own pool: long counts must not block the loop's default threads, which resolve host names.
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="count")

    def close(self) -> None:
        """Cancels counts that have not started; running ones end by themselves, within seconds."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def count(self, request: CountTokensRequest) -> CountTokensResponse:
        """The count, its source and its error bound.

        Raises:
            InvalidRequest: there is nothing to count, or the request is invalid.
            UnknownModel: its model does not exist.
        """
        self._validate(request)
        targets = await self._router.targets(request.model or request.request.model)
        target = next((each for each in targets if not each.fallback), targets[0])
        backend = self._backends[target.backend]
        counted = await self._count_by_backend(request, backend, target)
        if counted is not None:
            return counted
        content = count_input(request)
        if content.characters <= MAX_INLINE_CHARACTERS:
            return _count(content, backend.tokenizer)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _count, content, backend.tokenizer)

    def _validate(self, request: CountTokensRequest) -> None:
        kind = request.WhichOneof("input")
        if kind is None:
            raise InvalidRequest.of("input", "A request or a text is required.")
        if kind == "request":
            validate_request(request.request, self.limits)
        elif message := self.limits.too_large(request):
            raise InvalidRequest.of("text", message)

    async def _count_by_backend(
        self, request: CountTokensRequest, backend: Backend, target: Target
    ) -> CountTokensResponse | None:
        """The backend's own count; None where it cannot count."""
        provider = backend.provider
        is_text = request.WhichOneof("input") == "text"
        if not isinstance(provider, TextCounter | TokenCounter):
            return None
        if is_text and not isinstance(provider, TextCounter) and backend.tokenizer is not None:
            return None  # The vendor would count its message framing too; the tokenizer counts only the text.
        if is_text and not request.text:
            return None
        left = deadline.remaining()
        try:
            async with asyncio.timeout(min(BACKEND_TIMEOUT, math.inf if left is None else left / 2)):
                # Not judged: a server may answer requests, and not count.
                async with backend.slot(request.request, judged=False):
                    model = await backend.model_for(target.model)
                    if not is_text and isinstance(provider, TokenCounter):
                        return _exact(await provider.count_tokens(request.request, model))
                    if is_text and isinstance(provider, TextCounter):
                        return _exact(await provider.count_text(request.text, model))
                    if is_text and isinstance(provider, TokenCounter):
                        return _counted_as_message(await provider.count_tokens(_message(request.text), model))
        except (ModelError, TimeoutError) as error:
            log.info(
                "backend_does_not_count",
                target=f"{target.backend}/{'' if target.model == ANY_MODEL else target.model}",
                **(error.log_fields if isinstance(error, ModelError) else {"detail": "no response in time"}),
            )
        return None


def count_input(request: CountTokensRequest) -> CountInput:
    """The texts of the request, and the numbers of everything else."""
    if request.WhichOneof("input") == "text":
        return CountInput((request.text,))
    generate = request.request
    texts = [text for message in generate.messages for part in message.parts for text in _texts(part)]
    for tool in generate.tools:
        texts += [tool.name, tool.description, to_json(tool.input_schema).decode()]
    media = sum(_media(part) for message in generate.messages for part in message.parts)
    return CountInput(texts, len(generate.messages) + len(generate.tools), media)


def _texts(part: Part) -> Iterator[str]:
    kind = part.WhichOneof("content")
    if kind == "text":
        yield part.text
    elif kind == "reasoning":
        yield part.reasoning.text
    elif kind == "tool_call":
        yield part.tool_call.name
        yield part.tool_call.arguments_json or to_json(part.tool_call.arguments).decode()
    elif kind == "tool_result":
        for each in part.tool_result.content:
            yield from _texts(each)


def _media(part: Part) -> int:
    if part.WhichOneof("content") == "tool_result":
        return sum(map(_media, part.tool_result.content))
    return int(part.WhichOneof("content") in {"image", "audio", "document"})


def _count(content: CountInput, tokenizer: CachingTokenizer | None) -> CountTokensResponse:
    """By the tokenizer, else by estimate. The overhead around the texts is an estimate either way."""
    overhead = content.overhead_tokens
    if tokenizer is not None:
        counts = [tokenizer.count(text) for text in content.texts] or [TextCount(0)]
        tokens = sum(each.tokens for each in counts) + overhead
        uncertainty: float = sum(each.uncertainty for each in counts) + overhead
        return _response(tokens, TOKEN_COUNT_SOURCE_LOCAL, uncertainty)
    estimates = [estimate_text(text) for text in content.texts]
    tokens = math.ceil(sum(each.tokens for each in estimates)) + overhead
    uncertainty = sum(each.uncertainty for each in estimates) + overhead + (MIN_UNCERTAINTY if tokens else 0)
    return _response(tokens, TOKEN_COUNT_SOURCE_ESTIMATE, uncertainty)


def _exact(tokens: int) -> CountTokensResponse:
    return _response(tokens, TOKEN_COUNT_SOURCE_BACKEND, 0)


def _counted_as_message(tokens: int) -> CountTokensResponse:
    return _response(tokens, TOKEN_COUNT_SOURCE_BACKEND, FRAMING_TOKENS)


def _response(tokens: int, source: int, uncertainty: float) -> CountTokensResponse:
    bound = uncertainty / tokens if tokens else 0.0
    return CountTokensResponse(tokens=tokens, source=source, error_bound=bound)  # type: ignore[arg-type]


def _message(text: str) -> GenerateRequest:
    return GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text=text)])])
