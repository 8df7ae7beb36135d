"""Finds a request that differs only in the words of its last text, and means the same.

Meaning is compared by embeddings from a backend, and only where wording.py allows it. The replies stay in the
cache: here are vectors and keys, so that flushes and times hold without further ado. It refuses to work with
a model that takes more than 1 % of near misses for the same.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from operator import mul
from typing import Final

import structlog
from clawdbot.common.v1.message_pb2 import ROLE_USER
from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_BATCH, CachePolicy, GenerateRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest, EmbedResponse
from clawdbot_servicekit import deadline
from clawdbot_servicekit.caller import Caller, enter_caller

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.reply_cache.key import cache_key
from clawdbot_model_gateway.core.reply_cache.metrics import CacheMetrics
from clawdbot_model_gateway.core.reply_cache.port import CacheKey
from clawdbot_model_gateway.core.reply_cache.wording import Wording, may_mean_the_same, wording

log = structlog.get_logger(__name__)

MAX_FALSE_HITS: Final = 0.01
"""Share of near misses that may be taken for the same."""
MAX_CHARACTERS: Final = 500
"""Of a text. Models cut off longer ones, and a vector of a page says nothing about one of its words."""
MAX_MULTIPLICATIONS: Final = 100_000
"""In one search, which takes some 4 ms; it begins with the latest requests."""
BATCH: Final = 64
"""Texts in one request while the model is measured."""
RETRY_INTERVAL: Final = 5.0
"""Seconds after which a model that could not be measured is tried again."""
ALL_TENANTS: Final = "*"

Embed = Callable[[EmbedRequest], Awaitable[EmbedResponse]]


@dataclass(frozen=True, slots=True)
class SemanticRules:
    """The configured rules."""

    model: str
    """The alias or target that computes the embeddings."""
    tenants: frozenset[str]
    threshold: float
    """Cosine of the angle between two texts from which on they mean the same."""
    timeout: float
    """Seconds that a request waits for its embedding."""
    max_entries: int


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it is compared."""

    key: CacheKey
    place: bytes
    """Digest of all but its last text: requests with another one are never compared."""
    words: Wording
    vector: array[float]
    """Of length 1."""


class SimilarRequests:
    """The requests whose replies may answer others.

    Args:
        rules: the configured ones.
        embed: asks a backend for embeddings.
        metrics: counts what comes of it.
    """

    def __init__(self, rules: SemanticRules, embed: Embed, metrics: CacheMetrics) -> None:
        self._rules = rules
        self._embed = embed
        self._metrics = metrics
        self._measured: str | None = None
        """The vendor's name of the model that passed; None: off."""
        self._entries: dict[bytes, Question] = {}
        """By digest, the oldest first."""
        self._places: dict[bytes, dict[bytes, None]] = {}
        """Place → digests, the oldest first."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to measure the model. Until that is done, and where it fails, nothing is found."""
        self._measured = None
        self._task = asyncio.create_task(self._qualify())

    async def stop(self) -> None:
        """Ends measuring. Safe without a start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def concerns(self, request: GenerateRequest, tenant: str) -> bool:
        """Whether the request may get the reply to another one."""
        return (
            request.cache.semantic
            and self._measured is not None
            and not self._rules.tenants.isdisjoint((tenant, ALL_TENANTS))
            # A call of a tool does something, with arguments from the text.
            and not request.tools
            and _is_question(request)
        )

    async def ask(
        self, request: GenerateRequest, key: CacheKey, backend: Backend, model: str
    ) -> Question | None:
        """The request as a question; None where it has no embedding in time."""
        text = request.messages[-1].parts[0].text
        try:
            async with asyncio.timeout(self._rules.timeout):
                response = await self._embed(
                    EmbedRequest(model=self._rules.model, texts=[text], priority=request.priority)
                )
            (vector,) = _vectors(response)
        except Exception as error:  # noqa: BLE001 - a cache that fails is a miss
            self._metrics.similar.labels("failed").inc()
            log.info("embedding_failed", model=self._rules.model, error=type(error).__name__)
            return None
        if response.model != self._measured:
            self._metrics.similar.labels("failed").inc()
            return None
        rest = GenerateRequest()
        rest.CopyFrom(request)
        rest.messages[-1].parts[0].text = ""
        return Question(key, cache_key(rest, backend, model, key.tenant).digest, wording(text), vector)

    def find(self, question: Question) -> Iterator[CacheKey]:
        """The keys of requests that mean the same, the most similar one first."""
        found: list[tuple[float, CacheKey]] = []
        left = MAX_MULTIPLICATIONS
        for digest in reversed(self._places.get(question.place, {})):
            other = self._entries[digest]
            if not may_mean_the_same(question.words, other.words) or len(other.vector) != len(
                question.vector
            ):
                continue
            similarity = _cosine(question.vector, other.vector)
            if similarity >= self._rules.threshold:
                found.append((similarity, other.key))
            left -= len(other.vector)
            if left <= 0:
                break
        found.sort(key=lambda each: -each[0])
        return (key for _, key in found)

    def add(self, question: Question) -> None:
        """Remembers a request whose reply has been stored."""
        self.remove(question.key)
        if len(self._entries) >= self._rules.max_entries:
            self.remove(next(iter(self._entries.values())).key)
        self._entries[question.key.digest] = question
        self._places.setdefault(question.place, {})[question.key.digest] = None

    def remove(self, key: CacheKey) -> None:
        """Forgets a request whose reply is gone."""
        question = self._entries.pop(key.digest, None)
        if question is not None:
            place = self._places[question.place]
            del place[key.digest]
            if not place:
                del self._places[question.place]

    async def _qualify(self) -> None:
        # Measuring is nobody's call: it is in no tenant's usage, and in no tenant's limits.
        enter_caller(Caller(tenant=""))
        # It would inherit the deadline of the call that reloads the configuration.
        deadline.enter_deadline(None)
        while True:
            try:
                model, false_hits, similar, pairs = await self._measure()
                break
            except Exception as error:  # noqa: BLE001 - the backend may not be up yet
                log.warning("semantic_cache_waits", model=self._rules.model, error=str(error))
            await asyncio.sleep(RETRY_INTERVAL)
        facts = {
            "model": self._rules.model,
            "threshold": self._rules.threshold,
            "pairs": pairs,
            "false_hits": f"{len(false_hits) / pairs:.1%}",
            "by_similarity_alone": f"{similar / pairs:.1%}",
        }
        if len(false_hits) > MAX_FALSE_HITS * pairs:
            log.error(
                "semantic_cache_refused",
                **facts,
                advice="raise gateway.cache.semantic.threshold, or use another model",
                examples=false_hits[:3],
            )
            return
        log.info("semantic_cache_on", **facts)
        self._measured = model

    async def _measure(self) -> tuple[str, list[tuple[str, str]], int, int]:
        """The vendor's model, the false hits, and the numbers of similar near misses and of all."""
        pairs = near_misses()
        texts = [text for pair in pairs for text in pair]
        vectors: list[array[float]] = []
        models = set()
        for start in range(0, len(texts), BATCH):
            response = await self._embed(
                EmbedRequest(
                    model=self._rules.model,
                    texts=texts[start : start + BATCH],
                    priority=PRIORITY_BATCH,
                    # As the model is now.
                    cache=CachePolicy(mode=CachePolicy.MODE_BYPASS),
                )
            )
            vectors += _vectors(response)
            models.add(response.model)
        if len(models) != 1:
            raise ValueError("several models answer; name one target")
        similar = [
            pair
            for pair, one, other in zip(pairs, vectors[::2], vectors[1::2], strict=True)
            if _cosine(one, other) >= self._rules.threshold
        ]
        false_hits = [each for each in similar if may_mean_the_same(*map(wording, each))]
        return models.pop(), false_hits, len(similar), len(pairs)


def near_misses() -> Sequence[tuple[str, str]]:
    """Pairs of texts that look alike and mean different things."""
    lines = resources.files(__package__).joinpath("near_misses.txt").read_text("utf-8").splitlines()
    pairs = [line.split(" | ") for line in lines if " | " in line and not line.startswith("#")]
    return [(one, other) for one, other in pairs]


def _is_question(request: GenerateRequest) -> bool:
    last = request.messages[-1]
    return (
        last.role == ROLE_USER
        and len(last.parts) == 1
        and last.parts[0].WhichOneof("content") == "text"
        and len(last.parts[0].text) <= MAX_CHARACTERS
    )


def _vectors(response: EmbedResponse) -> list[array[float]]:
    """The vectors with length 1, so that the cosine is a product; ValueError where one has no direction."""
    vectors = []
    for each in response.embeddings:
        length = math.sqrt(sum(map(mul, each.values, each.values)))
        if not 0 < length < math.inf:
            raise ValueError("the model returned a vector without a direction")
        vectors.append(array("f", (value / length for value in each.values)))
    return vectors


def _cosine(one: array[float], other: array[float]) -> float:
    return math.fsum(map(mul, one, other))
