"""The port that every model is reached through; one file in providers/ for each kind of backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest

from clawdbot_model_gateway.core.events import Event


@dataclass(frozen=True, slots=True)
class VendorModel:
    """A model as its backend lists it."""

    name: str
    """The vendor's name, without the backend."""
    context_length: int = 0
    """Tokens of a request and its reply together; 0 where the backend does not say."""


class Provider(Protocol):
    """One backend: an endpoint that one or more models are reached at, spoken to in its own way.

    Requests arrive checked (core/validation.py), unchanged, and MUST NOT be changed: the same object may go
    to another backend next. A field that the backend cannot honour MUST be reported: core/honoured.py.

    The events of a reply:
      * `started` MUST be first, once, with the vendor's name of the model and the warnings; backend, attempt
        and cache status are filled in by the gateway. It MAY come before the backend has accepted the
        request: the gateway holds it back until the next event.
      * each tool call MUST be `tool_call_started`, any number of `tool_call_delta`, `tool_call_done`, all
        with one index; indexes count from 0; names MUST be the tools' full names; ids MUST NOT be empty.
      * `usage` MUST come at most once, after the content; the gateway estimates where there is none.
      * `finished` MUST be last, once. A reply that broke off MUST be TRUNCATED, a word of the vendor's that
        is not known UNKNOWN with the word itself; never STOP.
      * An empty reply of a connection that broke MUST be a failure, so that another backend may be tried.

    Failures MUST be ModelFailure (core/failures.py), before or between the events; their text MUST NOT
    contain a key. Cancelling a call, or closing its generator early, MUST end the request at the backend at
    once and free what it held.
    """

    @property
    def endpoint(self) -> str:
        """Where the backend is, without credentials; empty where there is no network."""

    @property
    def open_connections(self) -> int:
        """Connections to the backend that are open now, busy or idle."""

    async def start(self) -> None:
        """Opens what the backend needs. MUST NOT wait for the backend and MUST NOT fail when it is away."""

    async def stop(self) -> None:
        """Closes everything. MUST be safe without a start, and twice."""

    async def list_models(self) -> Sequence[VendorModel]:
        """Asks the backend what it has, and so warms a connection. MUST raise ModelFailure when it cannot."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """All events of the reply at once, by the cheapest call the backend has.

        Args:
            request: what to answer; its own `model` is of no interest here.
            model: the vendor's name of the model.
        """

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """The events as they come; arguments as for generate. Callers close what they leave early."""


@runtime_checkable
class LimitedForms(Protocol):
    """A provider that has no field for some form of a reply: the gateway asks by other means, and checks.

    One without this has a field for each, or says in a warning that it holds to none.
    """

    def forms(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        """What it can ask the model for by a field of its own, in a request as this one.

        Any of "json" and "json_schema"; and "tool", where a model can be made to call a tool.
        """


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts as vectors."""

    vectors: Sequence[Sequence[float]]
    """In the order of the texts, all of one length."""
    model: str
    """The vendor's name of the model that answered."""
    usage: Usage


@runtime_checkable
class Embedder(Protocol):
    """A provider whose backend turns texts into vectors."""

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Embedded:
        """One vector for each text. MUST raise ModelFailure, or InvalidRequest for wrong dimensions."""


@runtime_checkable
class TokenCounter(Protocol):
    """A provider whose backend counts tokens itself."""

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """Input tokens of the request as the backend would bill them. MUST raise ModelFailure otherwise."""


@runtime_checkable
class TextCounter(Protocol):
    """A provider whose backend counts the tokens of bare text."""

    async def count_text(self, text: str, model: str) -> int:
        """Tokens of the text, without any framing. MUST raise ModelFailure otherwise."""
