"""A mock backend whose streams have eight pieces of text, as a short answer has. Run as a script."""

from __future__ import annotations

import uvloop
from typing_extensions import override

from tests.bench.canned_streams import chat_stream
from tests.bench.mock_backend import Connection, chunked, serve

PIECES = 8
_stream = chat_stream(PIECES)
STREAM = chunked(_stream.content_type, _stream.chunks())


class EightPieces(Connection):
    """Streams whatever it is asked."""

    @override
    def respond(self, chunks: list[bytes]) -> None:
        super().respond(STREAM if len(chunks) > 1 else chunks)


if __name__ == "__main__":
    uvloop.run(serve(EightPieces))
