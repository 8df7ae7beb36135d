"""A model server that costs as little as possible: static responses, keep-alive, no parsing.

A streaming request gets its vendor's stream, one write per event; any other request gets a whole Chat
Completions reply. As a script it prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json

import uvloop

from tests.bench.canned_streams import CANNED_STREAMS

BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "mock",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Certainly. A table for four at seven it is."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 11, "total_tokens": 31},
    }
).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


def chunked(content_type: str, chunks: list[bytes]) -> list[bytes]:
    """A response of unknown length: its headers with the first chunk, then the others."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    framed = [b"%x\r\n%s\r\n" % (len(each), each) for each in chunks]
    return [head + framed[0], *framed[1:-1], framed[-1] + b"0\r\n\r\n"]


STREAMS = {
    (stream.base + stream.path).encode(): chunked(stream.content_type, stream.chunks())
    for stream in CANNED_STREAMS.values()
}
"""Prefix of a path → response."""


class Connection(asyncio.Protocol):
    """Responds to each request as soon as its body is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while end := end_of_request(self._buffer):
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            if b" HTTP/1.1\r\n" not in request:
                self._transport.close()  # Some clients try HTTP/2 first.
                return
            self.respond(response_to(request))

    def respond(self, chunks: list[bytes]) -> None:
        """Writes a response, each chunk on its own."""
        for chunk in chunks:
            self._transport.write(chunk)


def end_of_request(data: bytes) -> int:
    """Bytes of the first request in it; 0 while it is incomplete."""
    body = data.find(b"\r\n\r\n") + 4
    if body < 4:
        return 0
    head = data[:body].lower()
    if b"transfer-encoding: chunked" in head:
        # As Node's fetch sends what it streams. JSON has no line breaks.
        end = data.find(b"\r\n0\r\n\r\n", body)
        return end + 7 if end >= 0 else 0
    mark = head.find(b"content-length:")
    end = body + (int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0)
    return end if len(data) >= end else 0


def response_to(request: bytes) -> list[bytes]:
    """The chunks to write, each on its own."""
    path = request.split(b" ", 2)[1]
    if b'"stream":true' in request or b"streamGenerateContent" in path:
        for prefix, chunks in STREAMS.items():
            if path.startswith(prefix):
                return chunks
    return [WHOLE]


async def serve(connection: type[Connection] = Connection) -> None:
    """Prints the port and serves until it is killed."""
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
