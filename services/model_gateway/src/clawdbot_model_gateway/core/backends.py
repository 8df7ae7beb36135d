"""A backend as the gateway runs it: a provider with a name, its models, and the slots for requests to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState

from clawdbot_model_gateway.core.errors import BackendTimeout, ModelMissing
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL
from clawdbot_model_gateway.core.tokenization import CachingTokenizer

LIST_TIMEOUT: Final = 2.0
"""Seconds that a backend has to list its models; without a list, any name may be requested from it."""


@dataclass(slots=True)
class Backend:
    """One endpoint that serves models."""

    name: str
    provider_name: str
    """Name of the provider's entry point, such as "openai_compatible"."""
    provider: Provider
    models: tuple[VendorModel, ...] = ()
    """The known models, the preferred one first; empty where the backend did not list them."""
    preferred_model: str = ""
    """The model to use first, where the configuration names one."""
    models_are_configured: bool = False
    """Whether the configuration lists all its models, so that the backend is not asked for them."""
    tokenizer: CachingTokenizer | None = None
    """Counts tokens locally, where the configuration names a tokenizer file."""
    concurrency: int | None = None
    """Requests that are sent at the same time; more wait in the order of their arrival. None: no limit."""
    default_temperature: float | None = None
    """Of requests that set none; None: the model's own."""
    fingerprint: bytes = b""
    """Of all settings that change its replies, so that a reply is not cached across a change of them."""
    slots: set[Slot] = field(default_factory=set)
    """Of the requests that are in flight: each has its slot, or waits for it."""
    _free: asyncio.Semaphore | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.concurrency is not None:
            self._free = asyncio.Semaphore(self.concurrency)

    def slot(self, request: GenerateRequest) -> Slot:
        """The way to the provider while the context lasts: `async with backend.slot(…) as provider`.

        Every call goes through it, so that admission, queueing, concurrency and accounting have one place.
        It waits as long as the caller does: the deadline of the call, or its cancellation, ends the wait.

        Args:
            request: what is sent. For a call that does not generate: one with model and labels only.
        """
        return Slot(self, request, self._free)

    @property
    def in_flight(self) -> int:
        """Number of requests that have a slot or wait for one."""
        return len(self.slots)

    async def model_for(self, model: str) -> str:
        """The vendor's name of a target's model; for ANY_MODEL the first one that the backend lists.

        Raises:
            ModelError: the backend has to be asked for its models and does not list any.
        """
        if model != ANY_MODEL:
            return model
        if not self.models:
            self.models = tuple(await self.provider.list_models())
        if not self.models:
            raise ModelMissing("the backend lists no models")
        return self.models[0].name

    async def refresh_models(self, first: list[str]) -> int:
        """Asks the backend for its models, with a short timeout, and returns how many it lists.

        Args:
            first: names of models that come first, whether they are listed or not.

        Raises:
            ModelError: it does not list them; the models are as before.
        """
        try:
            async with asyncio.timeout(LIST_TIMEOUT):
                listed = await self.provider.list_models()
        except TimeoutError:
            raise BackendTimeout(f"no list of models within {LIST_TIMEOUT:g} s") from None
        by_name = {each.name: each for each in listed}
        leading = [by_name.pop(name, VendorModel(name)) for name in first]
        self.models = (*leading, *by_name.values())
        return len(listed)

    def display_name(self, model: str) -> str:
        """A target's model for people to read: the actual name in place of ANY_MODEL, where it is known."""
        return self.models[0].name if model == ANY_MODEL and self.models else model

    @property
    def state(self) -> BackendState:
        """The backend as ListBackends returns it."""
        return BackendState(
            name=self.name,
            provider=self.provider_name,
            endpoint=self.provider.endpoint,
            requests_in_flight=self.in_flight,
            open_connections=self.provider.open_connections,
            models=[each.name for each in self.models],
        )


class Slot:
    """The right to send one request to a backend. Leaving the context frees it, exactly once."""

    __slots__ = ("_backend", "_free", "request")

    def __init__(self, backend: Backend, request: GenerateRequest, free: asyncio.Semaphore | None) -> None:
        self.request = request
        """What the slot is for: `Backend.slots` shows which requests are in flight."""
        self._backend = backend
        self._free = free

    async def __aenter__(self) -> Provider:
        slots = self._backend.slots
        slots.add(self)
        if self._free is not None:
            try:
                await self._free.acquire()
            except BaseException:
                slots.discard(self)
                raise
        return self._backend.provider

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backend.slots.discard(self)
        if self._free is not None:
            self._free.release()
