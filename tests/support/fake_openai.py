"""A scriptable server for Chat Completions: on a real port, byte for byte, with errors on demand.

tests/contract/providers/test_fake_openai.py drives it with OpenAI's own client, so that it stays realistic.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

HANG = object()
"""In a script: nothing more until the client disconnects."""
CUT = object()
"""In a script: the server aborts the connection here, once what it has sent is read.

A client that has not read it by then loses it: aiohttp tells of the end first.
"""
TURNS = 50
"""Of the event loop, for a client in it to read what has arrived. It takes a few."""

KEY = "sk-test-0123456789abcdef"


def chunk(
    delta: Mapping[str, Any] | None = None, finish: str | None = None, index: int | None = 0, **more: Any
) -> dict[str, Any]:
    """One chat.completion.chunk."""
    choice: dict[str, Any] = {"delta": dict(delta or {}), "finish_reason": finish}
    if index is not None:
        choice["index"] = index
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake-1",
        "choices": [choice],
        **more,
    }


def usage_chunk(prompt: int = 7, completion: int = 3, **details: Any) -> dict[str, Any]:
    """The chunk after the last one, with usage and no choice."""
    return {**chunk(), "choices": [], "usage": usage(prompt, completion, **details)}


def usage(prompt: int = 7, completion: int = 3, **details: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **details,
    }


def text_chunks(*pieces: str, finish: str | None = "stop") -> list[dict[str, Any]]:
    """A reply of text, as OpenAI streams it: role, pieces, finish reason, usage."""
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in pieces),
        *([chunk({}, finish), usage_chunk()] if finish else []),
    ]


def sse(*chunks: Mapping[str, Any] | str, done: bool = True, newline: str = "\n") -> bytes:
    """The chunks as a stream of events; a string is sent as it is."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in chunks]
    if done:
        texts.append("[DONE]")
    return "".join(f"data: {text}{newline}{newline}" for text in texts).encode()


def completion(
    message: Mapping[str, Any] | None = None, finish: str | None = "stop", **more: Any
) -> dict[str, Any]:
    """A whole chat.completion."""
    full = {"role": "assistant", "content": "Good evening.", **(message or {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake-1",
        "choices": [{"index": 0, "message": full, "finish_reason": finish}],
        "usage": usage(),
        **more,
    }


@dataclass
class Answer:
    """The answer to one request."""

    pieces: Iterable[Any] = ()
    """Bytes to write, one write each; seconds to wait; HANG; CUT; or an asyncio.Event to wait for."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream"


HOLD = Answer((HANG,), status=0)
"""No answer at all, not even headers."""
DROP = Answer((CUT,), status=0)
"""The connection closes where the answer should be."""


def whole(body: Any, status: int = 200, **headers: str) -> Answer:
    """JSON at once."""
    return Answer([json.dumps(body).encode()], status, headers, "application/json")


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    """An error in OpenAI's form."""
    return whole({"error": {"message": message, "type": "some_error", "code": code}}, status, **headers)


@dataclass
class RecordedRequest:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any
    query: Mapping[str, str]


class FakeOpenAI:
    """The server. Scripted answers are used in order; after them, the default one."""

    def __init__(self) -> None:
        self.asked: list[RecordedRequest] = []
        self.answers: deque[Answer] = deque()
        self.always: Answer | None = None
        """Answers every request for a reply, while it is set."""
        self.models: Any = [{"id": "fake-1", "object": "model", "max_model_len": 8192}]
        self.left = 0
        """Requests whose client disconnected before they were answered."""
        self.gone = asyncio.Event()
        """Set when a client has disconnected."""
        self.busy = asyncio.Event()
        """Set when a request has reached HANG."""
        self.connections: set[Any] = set()
        """Every connection that a request has used."""
        self.url = ""
        self.tokenizes = ""
        """The kind of server that it counts tokens as: "vllm", "llama.cpp" or none. A word is a token."""
        self.template: Any = None
        """The Jinja template at llama.cpp's /props; None: 404."""

    def will(self, *answers: Answer) -> None:
        """Appends to the script."""
        self.answers.extend(answers)

    @property
    def last(self) -> Any:
        """The body of the last request that had one; a request for the models may follow at any time."""
        return next(asked.body for asked in reversed(self.asked) if asked.body is not None)

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if self.answers and not request.path.endswith("completions") and self.models is None:
            return await self._send(request, self.answers.popleft())
        return web.json_response({"object": "list", "data": self.models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if self.always is not None:
            return await self._send(request, self.always)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return await self._send(
                request, error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key")
            )
        if body.get("stream"):
            return await self._send(request, Answer([sse(*text_chunks("Good", " evening", "."))]))
        return await self._send(request, whole(completion()))

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        length = body.get("dimensions", 4)
        data = [
            {"object": "embedding", "index": index, "embedding": [float(len(text))] * length}
            for index, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        # Reversed: the index tells which vector is whose.
        answer = {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}
        return web.json_response(answer)

    async def tokenize(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.tokenizes == "vllm" and "prompt" in body:
            words = body["prompt"].split()
        elif self.tokenizes == "vllm" and "messages" in body:
            words = " ".join(f"<{each['role']}> {each['content']}" for each in body["messages"]).split()
        elif self.tokenizes == "llama.cpp":
            words = body.get("content", "").split()
        else:
            return await self._send(request, error(400 if self.tokenizes else 404))
        tokens = {"tokens": [*range(len(words))]}
        count = {"count": len(words), "max_model_len": 8192} if self.tokenizes == "vllm" else {}
        return web.json_response({**count, **tokens})

    async def apply_template(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.tokenizes != "llama.cpp":
            return await self._send(request, error(404))
        lines = [f"<{each['role']}> {each['content']} <end>" for each in body["messages"]]
        return web.json_response({"prompt": " ".join(lines)})

    async def props(self, request: web.Request) -> web.StreamResponse:
        if self.template is None:
            return await self._send(request, error(404))
        return web.json_response({"chat_template": self.template, "model_path": "model.gguf"})

    async def _record(self, request: web.Request) -> Any:
        body = await request.json() if request.can_read_body else None
        self.connections.add(request.transport)
        self.asked.append(RecordedRequest(request.path, request.headers, body, request.query))
        return body

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        try:
            return await self._send_pieces(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            self.gone.set()
            raise

    async def _send_pieces(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status or 200, headers=answer.headers)
        response.content_type = answer.content_type
        response.enable_chunked_encoding()
        if answer.status:
            await response.prepare(request)
        for piece in answer.pieces:
            if piece is HANG:
                self.busy.set()
                await asyncio.Event().wait()
            elif piece is CUT:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                assert request.transport is not None
                request.transport.abort()
                return response
            elif isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                await response.write(piece)
        await response.write_eof()
        return response


@asynccontextmanager
async def fake_openai(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[FakeOpenAI]:
    """The server until the block ends, on a free port unless one is given."""
    fake = FakeOpenAI()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/v1/models", fake.list_models)
    app.router.add_post("/v1/chat/completions", fake.chat)
    app.router.add_post("/v1/embeddings", fake.embed)
    app.router.add_post("/tokenize", fake.tokenize)
    app.router.add_post("/apply-template", fake.apply_template)
    app.router.add_get("/props", fake.props)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
