"""What all providers of backends behind HTTP have in common: a connection pool, and how a reply is fetched.

A provider adds its settings and its client, says in `_send` what it asks the backend, and implements the
other ports that the backend can serve.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from typing_extensions import override

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.core.provider import Provider
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.record_parsers import parser_of
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.formats.vendor_json import load_json
from clawdbot_model_gateway.http import ErrorMapper, HttpPool, OpenResponse, Response, stream_events
from clawdbot_model_gateway.http.charsets import charset_of
from clawdbot_model_gateway.http.error_payloads import reports_error
from clawdbot_model_gateway.settings import BackendSettings, HttpSettings

MAX_ERROR_BYTES: Final = 64 * 1024
"""A longer body is no error."""


class HttpProvider(Provider):
    """A backend that is asked over HTTP and streams its replies as server-sent events."""

    always_streams: bool = False
    """Whether generate streams as well: only in a stream can silence be distinguished from a long reply."""

    def __init__(
        self,
        settings: BackendSettings,
        endpoint: str,
        *,
        key_header: str = "authorization",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        http: HttpSettings | None = None,
        socket: str = "",
    ) -> None:
        """Creates the pool.

        Args:
            settings: of the backend.
            endpoint: URL that paths are appended to.
            key_header: header of the key: as a bearer token in authorization, bare in any other.
            headers: of each request, besides the key and those of the settings.
            query: of each URL.
            http: sizes and timeouts, if not those of the settings.
            socket: path of a Unix socket to connect to, in place of the endpoint's host and port.

        Raises:
            StartupError: the endpoint, a header or the ca_file is invalid.
        """
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        extra_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._errors = ErrorMapper([key, *extra_headers.values()])
        self._headers = {**(headers or {}), **_key_header(key_header, key), **extra_headers}
        self._http = http or settings.http
        self._socket = socket
        self._pools: list[HttpPool] = []
        self._pool = self._add_pool(endpoint, query or {})

    @property
    @override
    def endpoint(self) -> str:
        return self._pool.endpoint

    @property
    @override
    def open_connections(self) -> int:
        return sum(pool.open_connections for pool in self._pools)

    @property
    @override
    def idle_connections(self) -> int:
        return sum(pool.idle_connections for pool in self._pools)

    @property
    @override
    def waiting_for_connection(self) -> int:
        return sum(pool.waiting for pool in self._pools)

    @property
    @override
    def is_cold(self) -> bool:
        return self._pool.is_cold

    @override
    async def warm(self) -> None:
        await self._pool.warm()

    @property
    @override
    def max_concurrency(self) -> int | None:
        return self._http.pool_size

    @override
    async def start(self) -> None:
        for pool in self._pools:
            await pool.start()

    @override
    async def stop(self) -> None:
        for pool in self._pools:
            await pool.stop()

    @override
    async def generate(self, request: GenerateRequest, model: str) -> Sequence[Event]:
        if self.always_streams:
            async with aclosing(self.stream(request, model)) as events:
                return [event async for event in events]
        response, decoder = await self._ask(request, model, stream=False)
        return self._decode_whole(decoder, await self._pool.read(response), response)

    @override
    def stream(self, request: GenerateRequest, model: str) -> AsyncGenerator[Event]:
        return stream_events(self._pool, lambda: self._open_stream(request, model))

    @abstractmethod
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        """Sends a request to the backend.

        Args:
            request: what to answer.
            model: the vendor's name of the model.
            stream: whether to ask for a stream; where `always_streams`, it is always True.

        Returns:
            The response, its content unread, and what decodes it.

        Raises:
            ModelError: the backend refused.
            InvalidRequest: the request is strict, and the backend does not support one of its fields.
        """

    async def _ask(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        """As `_send`; the decoder knows the response's character set."""
        response, decoder = await self._send(request, model, stream=stream)
        decoder.charset = charset_of(response.headers.get("content-type", ""))
        return response, decoder

    async def _open_stream(self, request: GenerateRequest, model: str) -> OpenResponse:
        response, decoder = await self._ask(request, model, stream=True)
        return OpenResponse(
            response,
            JsonStreamDecoder(EventParser(), decoder),
            decode_whole=lambda body: self._decode_whole(decoder, body, response),
        )

    async def _read(self, response: Response) -> bytes:
        """The body of a response that is no reply.

        Raises:
            ModelError: it is an error, whatever its status says.
        """
        body = await self._pool.read(response)
        if len(body) <= MAX_ERROR_BYTES and b'"error"' in body:
            try:
                payload = load_json(body)
            except ValueError:
                return body
            if isinstance(payload, dict) and reports_error(payload):
                raise self._errors.from_payload(payload)
        return body

    def _decode_whole(self, decoder: ReplyDecoder, body: bytes, response: Response) -> list[Event]:
        """The events of a reply that came at once, also as the records of a stream."""
        try:
            reply = decoder.load(body)
        except ValueError:
            parser = parser_of(body)
            if parser is None:
                raise self._errors.from_unparsable(body, response.headers) from None
        except Exception as error:  # noqa: BLE001 - see `fail`
            decoder.fail(error)
        else:
            try:
                return decoder.decode_whole(reply)
            except Exception as error:  # noqa: BLE001 - see `fail`
                decoder.fail(error)
        stream, out = JsonStreamDecoder(parser, decoder), list[Event]()
        stream.feed(body, out)
        if not stream.finished:
            stream.end(out)
        return out

    def _add_pool(self, endpoint: str, query: Mapping[str, str]) -> HttpPool:
        """Creates a pool that starts and stops with the provider."""
        pool = HttpPool(
            endpoint,
            self._http,
            headers=self._headers,
            query=query,
            errors=self._errors,
            socket=self._socket,
        )
        self._pools.append(pool)
        return pool


def _key_header(name: str, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {name: f"Bearer {key}" if name.lower() == "authorization" else key}
