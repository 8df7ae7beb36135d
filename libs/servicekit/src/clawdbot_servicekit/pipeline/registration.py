"""What applications register their servicers on: a facade of grpc.aio.Server that wraps each method once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import MalformedMessage
from clawdbot_servicekit.pipeline.call_handler import CallHandler, ExemptCallHandler
from clawdbot_servicekit.pipeline.handler_adapters import replying, streaming
from clawdbot_servicekit.pipeline.types import UNDECODABLE, Pipeline, Work

MAKERS: Final[Mapping[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(requests stream, replies stream) → the handler's attribute with the servicer's method, and its maker."""


class HandlerTarget(Protocol):
    """Where wrapped handlers go: a grpc.aio.Server or an InProcessServer."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's."""


class HandlerRegistrar(grpc.aio.Server):
    """Looks like a server to the generated add_…_to_server functions. One per application."""

    def __init__(
        self,
        pipeline: Pipeline,
        targets: Sequence[HandlerTarget],
        errors: ErrorTable,
        *,
        exempt: bool = False,
    ) -> None:
        """A facade before the targets.

        Args:
            pipeline: what all methods of the host have in common.
            targets: where the wrapped handlers go: the grpc.aio.Server and the InProcessServer.
            errors: what the application's exceptions mean.
            exempt: for health and reflection: no admission, identity, deadline or record; errors only.
        """
        self._pipeline = pipeline
        self._targets = tuple(targets)
        self._errors = errors
        self._exempt = exempt

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's; each handler is wrapped."""
        wrapped = tuple(_Wrapped(each, self._wrap) for each in generic_rpc_handlers)
        for target in self._targets:
            target.add_generic_rpc_handlers(wrapped)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Nothing: generated code registers everything twice, and the generic handlers are enough.

        grpc.aio's server waits for each registered method with a future of its own, and touches all of them
        at every call: with the suite's methods that costs more than finding the handler by name.
        """

    def add_insecure_port(self, address: str) -> NoReturn:
        """Refused: the host owns its ports."""
        self._refuse(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> NoReturn:
        """Refused: the host owns its ports."""
        del server_credentials
        self._refuse(address)

    async def start(self) -> None:
        """Refused: the host starts its server."""
        self._refuse("start")

    async def stop(self, grace: float | None) -> None:
        """Refused: the host stops its server."""
        del grace
        self._refuse("stop")

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - gRPC's
        """Refused: the host knows its own end."""
        del timeout
        self._refuse("wait_for_termination")

    def _refuse(self, what: str) -> NoReturn:
        raise grpc.aio.UsageError(f"{what}: an application registers servicers here; the host does the rest")

    def _wrap(self, method: str, handler: Any) -> Any:
        """The handler with its method in the pipeline."""
        attribute, make = MAKERS[handler.request_streaming, handler.response_streaming]
        shape = streaming if handler.response_streaming else replying
        path = self._path(method, shape(getattr(handler, attribute), method))
        decode = _raising if handler.request_streaming else _answering
        return make(
            path.run,
            request_deserializer=decode(handler.request_deserializer, method),
            response_serializer=handler.response_serializer,
        )

    def _path(self, method: str, work: Work) -> CallHandler | ExemptCallHandler:
        if self._exempt:
            return ExemptCallHandler(self._errors, method, work)
        return CallHandler(self._pipeline, self._errors, method, work)


class _Wrapped(grpc.GenericRpcHandler):
    """A service's handlers, each wrapped when it is first called for."""

    def __init__(self, inner: grpc.GenericRpcHandler, wrap: Callable[[str, Any], Any]) -> None:
        self._inner = inner
        self._wrap = wrap
        self._found: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        handler = self._found.get(method)
        if handler is None:
            handler = self._inner.service(handler_call_details)
            # What is not found is not remembered: anybody may ask for names without end.
            if handler is not None:
                handler = self._found[method] = self._wrap(method, handler)
        return handler


Decode = Callable[[bytes], Any]


def _answering(decode: Decode | None, method: str) -> Decode | None:
    """For a single request, which gRPC decodes before the handler runs: UNDECODABLE tells the path."""
    del method
    if decode is None:
        return None

    def answering(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, ValueError):
            return UNDECODABLE

    return answering


def _raising(decode: Decode | None, method: str) -> Decode | None:
    """For a stream of requests, which are decoded while the servicer reads: the fault passes through it."""
    if decode is None:
        return None

    def raising(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, ValueError):
            raise MalformedMessage(method.lstrip("/")) from None

    return raising
