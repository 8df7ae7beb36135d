"""The ports of a model backend. Each kind of backend implements them in one file in providers/."""

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
    """Tokens of a request and its reply together; 0 where the backend does not report it."""


class Provider(Protocol):
    """One backend: an endpoint that serves one or more models, spoken to in its own protocol.

    Requests have been validated (core/validation.py). They MUST NOT be changed: the same object may go to
    another backend next. Fields that the backend does not support MUST be reported: core/supported_fields.py.

    The events of a reply:
      * `started` MUST be first, once, with the vendor's name of the model and the warnings. The gateway fills
        in backend, attempt and cache status. It MAY come before the backend has accepted the request: the
        gateway holds it, and all that is not content, until the first content.
      * Each tool call MUST be `tool_call_started`, any number of `tool_call_delta`, `tool_call_done`, all
        with one index. Indexes count from 0; names MUST be the tools' full names; ids MUST NOT be empty.
      * `usage` MUST come at most once, after the content. The gateway estimates it where it is missing.
      * `finished` MUST be last, once. A reply that was cut off MUST be TRUNCATED; an unknown finish reason of
        the vendor MUST be UNKNOWN with the vendor's word as raw_finish_reason; neither may be STOP.
      * A connection that breaks before any content MUST raise an error, so that another backend can be tried.

    Errors MUST be ModelError (core/errors.py), raised before or between the events; their text MUST NOT
    contain a key. Cancelling a call, or closing its generator early, MUST end the request at the backend at
    once and release what it held. Every provider closes the connection for that; none drains the reply.
    """

    @property
    def endpoint(self) -> str:
        """URL of the backend, without credentials; empty where there is no network."""

    @property
    def open_connections(self) -> int:
        """Number of open connections to the backend, busy or idle."""

    @property
    def idle_connections(self) -> int:
        """Number of open connections that no request uses."""
        return 0

    @property
    def waiting_for_connection(self) -> int:
        """Number of requests that wait for a connection, as there are as many as may be."""
        return 0

    @property
    def is_cold(self) -> bool:
        """Whether `warm` would save the next request the time to connect."""
        return False

    async def warm(self) -> None:
        """Connects to the backend ahead of requests. MUST NOT fail when it is down."""

    @property
    def max_concurrency(self) -> int | None:
        """Requests that the gateway sends at the same time; more wait for a slot. None: no limit."""
        return None

    async def start(self) -> None:
        """Opens what the backend needs. MUST NOT wait for the backend and MUST NOT fail when it is down."""

    async def stop(self) -> None:
        """Closes everything. MUST be safe without a start, and when called twice."""

    async def list_models(self) -> Sequence[VendorModel]:
        """Asks the backend for its models, and so warms a connection. MUST raise ModelError on failure."""

    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        """All events of the reply at once, by the cheapest call that the backend has.

        Args:
            request: what to answer; its own `model` is ignored here.
            model: the vendor's name of the model.
        """

    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        """The events as they arrive; arguments as for generate. Callers that leave early close it."""


@runtime_checkable
class LimitedFormats(Protocol):
    """A provider that supports only some response formats; the gateway emulates and validates the others.

    A provider without this supports every format, or warns about each that it ignores.
    """

    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        """What the backend can be asked for with a field of its own, in a request like this one.

        Any of "json" and "json_schema"; also "tool", where the model can be forced to call a tool.
        """


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """The embeddings of several texts."""

    vectors: Sequence[Sequence[float]]
    """In the order of the texts, all of the same length."""
    model: str
    """The vendor's name of the model that answered."""
    usage: Usage


@runtime_checkable
class Embedder(Protocol):
    """A provider whose backend computes embeddings."""

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> EmbeddingResult:
        """One vector per text. MUST raise ModelError, or InvalidRequest for unsupported dimensions."""


@runtime_checkable
class TokenCounter(Protocol):
    """A provider whose backend counts the tokens of a request."""

    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """Input tokens of the request as the backend would bill them. MUST raise ModelError on failure."""


@runtime_checkable
class TextCounter(Protocol):
    """A provider whose backend counts the tokens of plain text."""

    async def count_text(self, text: str, model: str) -> int:
        """Tokens of the text, without any chat template. MUST raise ModelError on failure."""
