"""A backend as the gateway runs it: a provider with a name, its models and its current load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState

from clawdbot_model_gateway.core.errors import ModelMissing
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL
from clawdbot_model_gateway.core.tokenization import CachingTokenizer


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
    in_flight: int = 0
    """Number of requests that it is answering now."""

    @contextmanager
    def track_request(self) -> Iterator[Provider]:
        """Counts one request as in flight until the block ends."""
        self.in_flight += 1
        try:
            yield self.provider
        finally:
            self.in_flight -= 1

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
