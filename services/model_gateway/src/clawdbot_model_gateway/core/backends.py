"""A backend as the gateway runs it: a provider with a name, its models and what it is doing now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState

from clawdbot_model_gateway.core.errors import ModelMissing
from clawdbot_model_gateway.core.provider import Provider, VendorModel
from clawdbot_model_gateway.core.routing import ANY_MODEL
from clawdbot_model_gateway.core.tokenization import RememberingTokenizer


@dataclass(slots=True)
class Backend:
    """One endpoint that models are reached at."""

    name: str
    kind: str
    """The provider's name, such as "openai_compatible"."""
    provider: Provider
    models: tuple[VendorModel, ...] = ()
    """What is known to be there, the preferred one first; empty where the backend did not say."""
    preferred: str = ""
    """The model to take first, where the configuration names one."""
    complete: bool = False
    """Whether the configuration lists all its models, so that it is not asked."""
    tokenizer: RememberingTokenizer | None = None
    """Counts its models' tokens here, where the configuration names a file."""
    in_flight: int = 0
    """Requests that it is answering now."""

    @contextmanager
    def serving(self) -> Iterator[Provider]:
        """Counts one request for as long as it runs, however it ends."""
        self.in_flight += 1
        try:
            yield self.provider
        finally:
            self.in_flight -= 1

    async def model_for(self, model: str) -> str:
        """The vendor's name that a target's model means: itself, or the first one that the backend lists.

        Raises:
            ModelFailure: the backend must be asked and does not say.
        """
        if model != ANY_MODEL:
            return model
        if not self.models:
            self.models = tuple(await self.provider.list_models())
        if not self.models:
            raise ModelMissing("it lists no model")
        return self.models[0].name

    def shown(self, model: str) -> str:
        """A target's model as people should see it: the concrete name where it is known."""
        return self.models[0].name if model == ANY_MODEL and self.models else model

    @property
    def state(self) -> BackendState:
        """What ListBackends shows."""
        return BackendState(
            name=self.name,
            provider=self.kind,
            endpoint=self.provider.endpoint,
            requests_in_flight=self.in_flight,
            open_connections=self.provider.open_connections,
            models=[each.name for each in self.models],
        )
