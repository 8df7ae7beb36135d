"""A scriptable server for Ollama's own protocol: on a real port, with errors on demand.

Like Ollama it also speaks Chat Completions. tests/contract/providers/test_fake_ollama.py drives it with
Ollama's own client, so that it stays realistic.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.fake_openai import Answer, FakeOpenAI, whole

MODEL = "fake:latest"
CREATED = "2026-05-01T10:00:00.123456789Z"


def line(message: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One line of a streamed reply."""
    full = {"role": "assistant", "content": "", **(message or {})}
    return {"model": MODEL, "created_at": CREATED, "message": full, "done": False, **more}


def last(
    reason: str | None = "stop", message: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The last line; None leaves the reason out, as Ollama does if its own connection broke."""
    done_reason = {} if reason is None else {"done_reason": reason}
    return {**line(message), "done": True, **done_reason, **counts(), **more}


def counts(prompt: int = 7, output: int = 3) -> dict[str, int]:
    return {
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 342_546_000,
        "eval_count": output,
        "eval_duration": 4_535_599_000,
    }


def call(name: str, arguments: Any, call_id: str | None = "call_1", index: int = 0) -> dict[str, Any]:
    """A message with one tool call; versions before 0.9 sent no id."""
    bare = {"function": {"index": index, "name": name, "arguments": arguments}}
    return {"tool_calls": [bare if call_id is None else {"id": call_id, **bare}]}


def text_lines(*pieces: str, reason: str | None = "stop") -> list[dict[str, Any]]:
    """All lines of a reply of text."""
    return [*(line({"content": piece}) for piece in pieces), last(reason)]


def ndjson(*lines: Mapping[str, Any] | str, newline: str = "\n") -> bytes:
    """The lines as bytes; a string is sent as it is."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in lines]
    return "".join(f"{text}{newline}" for text in texts).encode()


def streamed(*pieces: Any, **more: Any) -> Answer:
    """A stream of these pieces: bytes, or anything else that an Answer takes."""
    return Answer(pieces, content_type="application/x-ndjson", **more)


def error(status: int, message: str, **headers: str) -> Answer:
    """An error in Ollama's form."""
    return whole({"error": message}, status, **headers)


def shown(
    length: int = 40_960,
    capabilities: tuple[str, ...] = ("completion", "tools"),
    family: str = "qwen3",
    parameters: str = "",
    template: str = "{{ .Prompt }}",
) -> dict[str, Any]:
    """What /api/show answers."""
    return {
        "license": "Apache 2.0",
        "modelfile": "FROM fake",
        "parameters": parameters,
        "template": template,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "8.2B",
            "quantization_level": "Q4_K_M",
        },
        "model_info": {"general.architecture": family, f"{family}.context_length": length},
        "capabilities": list(capabilities),
        "modified_at": CREATED,
    }


class FakeOllama(FakeOpenAI):
    """The server. Scripted answers are for /api/chat and /api/embed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, Any] = {MODEL: shown()}
        """Model → what /api/show answers; an Answer is sent as it is."""
        self.digests: dict[str, str] = {}
        self.version: Any = {"version": "0.17.4"}
        """What /api/version answers; None: 404; an Answer is sent as it is."""
        self.key: str | None = None
        """The bearer token that a proxy in front of it requires."""
        self.loading: asyncio.Event | None = None
        """A chat waits for it before its headers, which Ollama does not send before the model is loaded."""
        self.root = ""

    def requests(self, path: str) -> list[Any]:
        """The bodies of the requests to a path."""
        return [each.body for each in self.asked if each.path == path]

    async def get_version(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if isinstance(self.version, Answer):
            return await self._send(request, self.version)
        if self.version is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response(self.version)

    async def tags(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if (refused := self._refused(request)) is not None:
            return refused
        listed = [
            {
                "name": name,
                "model": name,
                "modified_at": CREATED,
                "size": 5_225_388_164,
                "digest": self.digests.get(name, f"digest of {name}"),
                "details": {"format": "gguf", "family": "qwen3", "families": ["qwen3"]},
            }
            for name in self.shown
        ]
        return web.json_response({"models": listed})

    async def show(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        known = self.shown.get(body["model"])
        if isinstance(known, Answer):
            return await self._send(request, known)
        if known is None:
            return web.json_response({"error": f"model '{body['model']}' not found"}, status=404)
        return web.json_response(known)

    async def native_chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if (refused := self._refused(request)) is not None:
            return refused
        if self.loading is not None:
            self.busy.set()
            await self.loading.wait()
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if body["model"] not in self.shown:
            return await self._send(request, error(404, f"model '{body['model']}' not found"))
        if not body.get("messages"):
            return await self._send(request, whole(last("load")))
        if body.get("stream", True):
            return await self._send(request, streamed(ndjson(*text_lines("Good", " evening", "."))))
        return await self._send(request, whole(last("stop", {"content": "Good evening."})))

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if body["model"] not in self.shown:
            return web.json_response({"error": f"model '{body['model']}' not found"}, status=404)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = [[float(len(text)), 1.0, 0.0][: body.get("dimensions", 3)] for text in texts]
        return web.json_response({"model": body["model"], "embeddings": vectors, "prompt_eval_count": 5})

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.key is None or request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return web.json_response({"error": "unauthorized"}, status=401)


@asynccontextmanager
async def fake_ollama(port: int = 0) -> AsyncIterator[FakeOllama]:
    """The server until the block ends, on a free port unless one is given."""
    fake = FakeOllama()
    app = web.Application()
    app.router.add_get("/", _running)
    app.router.add_get("/api/version", fake.get_version)
    app.router.add_get("/api/tags", fake.tags)
    app.router.add_post("/api/show", fake.show)
    app.router.add_post("/api/chat", fake.native_chat)
    app.router.add_post("/api/embed", fake.embed)
    app.router.add_get("/v1/models", fake.list_models)
    app.router.add_post("/v1/chat/completions", fake.chat)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    fake.url = f"{fake.root}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _running(request: web.Request) -> web.Response:
    del request
    return web.Response(text="Ollama is running")
