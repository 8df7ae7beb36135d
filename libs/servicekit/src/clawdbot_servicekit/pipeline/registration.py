"""Where applications register their servicers: a facade of grpc.aio.Server that wraps each method once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from typing_extensions import override

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import MalformedMessage, ResponseTooLarge
from clawdbot_servicekit.pipeline.call_handler import CallHandler, ExemptCallHandler
from clawdbot_servicekit.pipeline.handler_adapters import (
    decoded_request,
    request_stream,
    single_request,
    streaming_response,
    unary_response,
)
from clawdbot_servicekit.pipeline.types import Encode, Handler, Pipeline, Request
from clawdbot_servicekit.structs import MAX_DEPTH

HANDLER_FACTORIES: Final[Mapping[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(request streaming, response streaming) → the attribute with the servicer's method, and the factory."""

MAX_EXEMPT_REQUEST: Final = 16 * 1024
"""Bytes of a request for health or reflection: it holds a name, and is decoded without a key."""


class HandlerTarget(Protocol):
    """Where wrapped handlers go: the server of an engine, or an InProcessServer."""

    reads_requests: bool
    """Whether it gives handlers a stream to read a single request from; else it gives them the bytes."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Adds handlers by method, as grpc.aio.Server does."""


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
        """A facade in front of the targets.

        Args:
            pipeline: what all methods of the host have in common.
            targets: where the wrapped handlers go: the grpc.aio.Server and the InProcessServer.
            errors: the application's error table.
            exempt: for health and reflection: no admission, identity, deadline or record; errors only.
        """
        self._pipeline = pipeline
        self._targets = tuple(targets)
        self._errors = errors
        self._exempt = exempt

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        for target in self._targets:
            wrapped = {
                name: self._wrap(f"/{service_name}/{name}", handler, target.reads_requests)
                for name, handler in method_handlers.items()
            }
            target.add_registered_method_handlers(service_name, wrapped)

    @override
    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Does nothing: generated code registers everything twice, and the methods are enough."""

    @override
    def add_insecure_port(self, address: str) -> NoReturn:
        """Not supported: the host owns its ports."""
        self._refuse(address)

    @override
    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> NoReturn:
        """Not supported: the host owns its ports."""
        del server_credentials
        self._refuse(address)

    @override
    async def start(self) -> None:
        """Not supported: the host starts its server."""
        self._refuse("start")

    @override
    async def stop(self, grace: float | None) -> None:
        """Not supported: the host stops its server."""
        del grace
        self._refuse("stop")

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Not supported: the host controls its own end."""
        del timeout
        self._refuse("wait_for_termination")

    def _refuse(self, what: str) -> NoReturn:
        raise grpc.aio.UsageError(f"{what}: an application registers servicers here; the host does the rest")

    def _wrap(self, method: str, handler: Any, reads_requests: bool) -> Any:
        """The handler with its method in the pipeline."""
        adapt = streaming_response if handler.response_streaming else unary_response
        attribute, _ = HANDLER_FACTORIES[handler.request_streaming, handler.response_streaming]
        encode = _serializer(handler.response_serializer, self._pipeline.max_response)
        servicer = adapt(getattr(handler, attribute), method, encode)
        decode = _deserializer(
            handler.request_deserializer, method, MAX_EXEMPT_REQUEST if self._exempt else sys.maxsize
        )
        request: Request = request_stream
        if not handler.request_streaming:
            request = single_request(method) if reads_requests else decoded_request(decode)
        as_stream = handler.request_streaming or reads_requests
        _, make_handler = HANDLER_FACTORIES[as_stream, handler.response_streaming]
        return make_handler(
            self._call_handler(method, request, servicer, encode).run,
            request_deserializer=decode if as_stream else None,
            # A coroutine that writes to its context writes messages.
            response_serializer=lambda message: message if isinstance(message, bytes) else encode(message),
        )

    def _call_handler(
        self, method: str, request: Request, servicer: Handler, encode: Encode
    ) -> CallHandler | ExemptCallHandler:
        if self._exempt:
            return ExemptCallHandler(self._errors, request, servicer)
        return CallHandler(
            self._pipeline, self._errors, method, request=request, handler=servicer, encode=encode
        )


Deserialize = Callable[[bytes], Any]

_DEPTH: Final = "MaxDepth"
"""In what protobuf says about more than 100 nested messages. It does not say where."""
_TOO_DEEP: Final = (
    f"it is nested too deeply; in data, at most {MAX_DEPTH} levels of objects and lists are allowed"
)


def _serializer(serialize: Callable[[Any], bytes] | None, limit: int) -> Encode:
    """Encodes a message of the response while the call can still end with an error that says why."""

    def encode(message: Any) -> bytes:
        data: bytes = message if serialize is None else serialize(message)
        if len(data) > limit:
            raise ResponseTooLarge(len(data), limit)
        return data

    return encode


def _deserializer(deserialize: Deserialize | None, method: str, limit: int) -> Deserialize:
    """Decodes a request of at most so many bytes when it is read: raises MalformedMessage there."""
    if deserialize is None:
        return lambda data: data

    def decode(data: bytes) -> Any:
        if len(data) > limit:
            raise MalformedMessage(method.lstrip("/"))
        try:
            return deserialize(data)
        except (DecodeError, ValueError) as error:
            if _DEPTH in str(error):
                raise MalformedMessage(method.lstrip("/"), _TOO_DEEP) from None
            raise MalformedMessage(method.lstrip("/")) from None

    return decode
