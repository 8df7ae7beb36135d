"""Several keys of one backend, each with limits of its own: a request goes to another key at once.

A key that the vendor refuses cools down: it is not used for as long as the vendor says, and for a time that
depends on the error. Each key has a provider of its own, so that no request goes out with another key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

import structlog
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.durations import duration_text
from typing_extensions import override

from clawdbot_model_gateway.core.errors import BackendAuth, ModelError, QuotaExhausted, RateLimited
from clawdbot_model_gateway.core.events import Event, has_content
from clawdbot_model_gateway.core.provider import (
    Embedder,
    EmbeddingResult,
    LimitedFormats,
    Provider,
    TextCounter,
    TokenCounter,
    VendorModel,
)
from clawdbot_model_gateway.core.spending import note_sent

log = structlog.get_logger(__name__)

T = TypeVar("T")

COOLDOWNS: Final[Mapping[type[ModelError], float]] = {
    RateLimited: 5.0,
    QuotaExhausted: 300.0,
    BackendAuth: 600.0,
}
"""An error that concerns the key → seconds for which it is not used, if the vendor does not say."""
KEY_ERRORS: Final = tuple(COOLDOWNS)


@dataclass(eq=False, slots=True)
class Key:
    """One key of a backend, as the provider that uses it."""

    number: int
    """From 1, as configured: its name in the log."""
    provider: Provider
    concurrency: int | None = None
    """Requests that it is used for at the same time; None: those that its provider sends."""
    in_flight: int = 0
    usable_at: float = 0.0
    """When its cool-down is over."""
    used_at: int = 0
    """Number of the last use."""
    error: ModelError | None = None
    """What the last cool-down is for."""

    @property
    def limit(self) -> int | None:
        """Requests that it is used for at the same time; None: any number."""
        limits = [each for each in (self.concurrency, self.provider.max_concurrency) if each is not None]
        return min(limits, default=None)


class KeyedProvider(Provider):
    """A provider that has one for each key.

    Args:
        backend: its name, for the log.
        keys: at least one.
        clock: monotonic seconds.
    """

    def __init__(self, backend: str, keys: Sequence[Key], clock: Callable[[], float]) -> None:
        self._backend = backend
        self._keys = keys
        self._clock = clock
        self._uses = 0
        self._freed = asyncio.Event()
        """Wakes those that wait for a key."""

    @property
    @override
    def endpoint(self) -> str:
        return self._keys[0].provider.endpoint

    @property
    @override
    def open_connections(self) -> int:
        return sum(each.provider.open_connections for each in self._keys)

    @property
    @override
    def idle_connections(self) -> int:
        return sum(each.provider.idle_connections for each in self._keys)

    @property
    @override
    def waiting_for_connection(self) -> int:
        return sum(each.provider.waiting_for_connection for each in self._keys)

    @property
    @override
    def is_cold(self) -> bool:
        return any(each.provider.is_cold for each in self._keys)

    @property
    @override
    def max_concurrency(self) -> int | None:
        limits = [each.limit for each in self._keys]
        known = [each for each in limits if each is not None]
        return sum(known) if len(known) == len(limits) else None

    @override
    async def start(self) -> None:
        for each in self._keys:
            await each.provider.start()

    @override
    async def stop(self) -> None:
        await asyncio.gather(*(each.provider.stop() for each in self._keys))

    @override
    async def warm(self) -> None:
        await asyncio.gather(*(each.provider.warm() for each in self._keys))

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        return await self._ask(lambda provider: provider.list_models())

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        return await self._ask(lambda provider: provider.generate(request, model))

    @override
    async def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        tried: list[Key] = []
        while True:
            key = await self._take(tried)
            held: list[Event] | None = []
            try:
                async with aclosing(key.provider.stream(request, model)) as events:
                    async for event in events:
                        if held is None:
                            yield event
                            continue
                        held.append(event)
                        if has_content(event):
                            for each in held:
                                yield each
                            held = None
                for each in held or ():
                    yield each
            except KEY_ERRORS as error:
                self._cool_down(key, error)
                if held is None or error.worked_on:
                    raise
            else:
                return
            finally:
                self._give_back(key)

    async def _ask(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        """What the provider of a key answers; of the next one, if that key is refused."""
        tried: list[Key] = []
        while True:
            key = await self._take(tried)
            try:
                return await ask(key.provider)
            except KEY_ERRORS as error:
                self._cool_down(key, error)
                if error.worked_on:
                    raise
            finally:
                self._give_back(key)

    async def _take(self, tried: list[Key]) -> Key:
        """The usable key with the fewest requests; of several, the one that was not used for longest.

        Where all have as many as they may, since others cool down, it waits for one.

        Raises:
            ModelError: no key is usable.
        """
        while True:
            now = self._clock()
            usable = [each for each in self._keys if each.usable_at <= now and each not in tried]
            if not usable:
                raise self._unusable(now, tried)
            free = [each for each in usable if each.limit is None or each.in_flight < each.limit]
            if free:
                break
            await self._wait_for_key(now, tried)
        key = min(free, key=lambda each: (each.in_flight, each.used_at))
        key.in_flight += 1
        self._uses += 1
        key.used_at = self._uses
        tried.append(key)
        return key

    async def _wait_for_key(self, now: float, tried: Sequence[Key]) -> None:
        """Returns when a key was given back, or the first cool-down is over."""
        resting = [each.usable_at for each in self._keys if each.usable_at > now and each not in tried]
        # Nothing is sent meanwhile, so that a caller who leaves pays nothing.
        note_sent(False)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(resting) - now if resting else None):
                await self._freed.wait()
        note_sent(True)

    def _give_back(self, key: Key) -> None:
        key.in_flight -= 1
        self._freed.set()
        self._freed.clear()

    def _cool_down(self, key: Key, error: ModelError) -> None:
        now = self._clock()
        default = next(seconds for kind, seconds in COOLDOWNS.items() if isinstance(error, kind))
        seconds = default if error.stated_wait is None else error.stated_wait
        # Of two that overlap, the longer one holds.
        if now + seconds >= key.usable_at:
            key.usable_at, key.error = now + seconds, error
        log.warning(
            "key_cools_down", backend=self._backend, key=key.number, seconds=seconds, **error.log_fields
        )

    def _unusable(self, now: float, tried: list[Key]) -> ModelError:
        """The error of the key that can be used again first, with the time until then."""
        waits = [
            (each.usable_at, each.error)
            for each in self._keys
            if each.error is not None and (each.usable_at > now or each in tried)
        ]
        usable_at, error = min(waits, key=itemgetter(0))
        count = len(self._keys)
        wait = max(0.0, usable_at - now)
        summary = (
            f"none of the {count} keys can be used at present: the first one can again in "
            f"{duration_text(wait)}, and a changed one after a reload (ReloadModels, SIGHUP); "
            f"the last error: {error.summary}"
        )
        unusable = type(error)(summary, quote=error.quote, retry_after=wait)
        # Also of an error that is not transient for a single key: here another key, or this one, may do.
        unusable.retry_after = wait
        return unusable


class _Embeds(KeyedProvider):
    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        return await self._ask(lambda provider: provider.embed(texts, model, dimensions))


class _CountsTokens(KeyedProvider):
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        return await self._ask(lambda provider: provider.count_tokens(request, model))


class _CountsTexts(KeyedProvider):
    async def count_text(self, text: str, model: str) -> int:
        return await self._ask(lambda provider: provider.count_text(text, model))


class _LimitsFormats(KeyedProvider):
    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        return cast("LimitedFormats", self._keys[0].provider).native_formats(request, model)


_ABILITIES: Final[Mapping[type, type[KeyedProvider]]] = {
    Embedder: _Embeds,
    TokenCounter: _CountsTokens,
    TextCounter: _CountsTexts,
    LimitedFormats: _LimitsFormats,
}
"""What a provider may be able to do besides → the class that passes it on."""


def keyed_provider(backend: str, keys: Sequence[Key], clock: Callable[[], float]) -> KeyedProvider:
    """The provider for several keys, which can do what those of the keys can."""
    classes = [each for ability, each in _ABILITIES.items() if isinstance(keys[0].provider, ability)]
    kind = type("KeyedProvider", tuple(classes) or (KeyedProvider,), {})
    return cast("KeyedProvider", kind(backend, keys, clock))
