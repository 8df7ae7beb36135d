"""A scriptable server for the Gemini API: on a real port, byte for byte, with errors on demand.

tests/contract/providers/test_fake_gemini.py drives it with Google's own client, so that it stays realistic.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.fake_openai import Answer, FakeOpenAI, whole

KEY = "AIzaSyTest0123456789abcdefghijklmnopqrs"
MODEL = "gemini-3-flash"
EMBEDDER = "gemini-embedding-001"

CODES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
CODES |= {500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


def chunk(
    *parts: Mapping[str, Any], finish: str | None = None, usage: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """One GenerateContentResponse: a chunk of a stream, or all of a reply."""
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"parts": [dict(each) for each in parts], "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    metadata = {} if usage is None else {"usageMetadata": dict(usage)}
    return {"candidates": [candidate], **metadata, "modelVersion": MODEL, "responseId": "r-1", **more}


def counts(
    prompt: int = 7, output: int | None = 3, thoughts: int | None = None, **more: Any
) -> dict[str, Any]:
    """usageMetadata; a count that is None is left out."""
    optional = {"candidatesTokenCount": output, "thoughtsTokenCount": thoughts}
    known = {name: each for name, each in optional.items() if each is not None}
    details = [{"modality": "TEXT", "tokenCount": prompt}]
    total = prompt + (output or 0) + (thoughts or 0)
    return {
        "promptTokenCount": prompt,
        **known,
        "totalTokenCount": total,
        "promptTokensDetails": details,
        **more,
    }


def call(
    name: str, args: Any = None, *, call_id: str | None = None, signature: str | None = None
) -> dict[str, Any]:
    """A part that calls a function."""
    function = {"name": name, "args": args, "id": call_id}
    wire: dict[str, Any] = {"functionCall": {key: each for key, each in function.items() if each is not None}}
    return wire if signature is None else {**wire, "thoughtSignature": signature}


def text_chunks(*texts: str, finish: str | None = "STOP") -> list[dict[str, Any]]:
    """A reply of text, as Gemini streams it: each chunk with the counts so far, the last with the reason."""
    *before, last = texts
    first = [chunk({"text": each}, usage=counts(output=None)) for each in before]
    return [*first, chunk({"text": last}, finish=finish, usage=counts())]


def sse(*chunks: Mapping[str, Any] | str, newline: str = "\r\n") -> bytes:
    """The chunks as a stream of events, without a [DONE]; a string is sent as it is."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in chunks]
    return "".join(f"data: {text}{newline}{newline}" for text in texts).encode()


def status(
    code: int, message: str = "no", name: str | None = None, *details: Mapping[str, Any]
) -> dict[str, Any]:
    """A google.rpc.Status."""
    error = {"code": code, "message": message, "status": name or CODES[code]}
    return {"error": {**error, "details": list(details)} if details else error}


def error(code: int, message: str = "no", name: str | None = None, *details: Mapping[str, Any]) -> Answer:
    """An error in Google's form."""
    return whole(status(code, message, name, *details), code)


def reason(name: str) -> dict[str, Any]:
    """google.rpc.ErrorInfo."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": name, "domain": "googleapis.com"}


def retry(delay: str) -> dict[str, Any]:
    """google.rpc.RetryInfo."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(quota_id: str, **more: Any) -> dict[str, Any]:
    """google.rpc.QuotaFailure."""
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {"quotaMetric": metric, "quotaId": quota_id, "quotaDimensions": {"model": MODEL}, **more}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


WRONG_KEY = "API key not valid. Please pass a valid API key."


def model(name: str, *methods: str, limit: int = 1_048_576) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "inputTokenLimit": limit,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": list(methods or ("generateContent", "countTokens")),
        "thinking": True,
    }


class FakeGemini(FakeOpenAI):
    """The server. Scripted answers are used in order; after them, the default ones."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: Sequence[Mapping[str, Any]] = [
            {"models": [model(EMBEDDER, "embedContent", limit=2048)], "nextPageToken": "p/2 ="},
            {"models": [model(MODEL)]},
        ]
        self.embedding: Mapping[str, Any] = {}
        """Further fields of a response with embeddings."""

    async def models_of(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if (refused := self._refused(request)) is not None:
            return await self._send(request, refused)
        tokens = ["", *(each.get("nextPageToken", "") for each in self.pages)]
        return web.json_response(self.pages[tokens.index(request.query.get("pageToken", ""))])

    async def ask(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if (refused := self._refused(request)) is not None:
            return await self._send(request, refused)
        name, _, method = request.match_info["call"].rpartition(":")
        answer = getattr(self, f"_{method}", None)
        if answer is None:
            return web.Response(status=404)
        if name not in {MODEL, EMBEDDER}:
            missing = f"models/{name} is not found for API version v1beta, or is not supported for {method}."
            return await self._send(request, error(404, missing))
        return await self._send(request, answer(request, body))

    @staticmethod
    def _refused(request: web.Request) -> Answer | None:
        if request.headers.get("x-goog-api-key") == KEY:
            return None
        return error(400, WRONG_KEY, None, reason("API_KEY_INVALID"))

    def _generateContent(self, _: web.Request, __: Any) -> Answer:
        return whole(chunk({"text": "Good evening."}, finish="STOP", usage=counts()))

    def _streamGenerateContent(self, request: web.Request, _: Any) -> Answer:
        chunks = text_chunks("Good", " evening", ".")
        return Answer([sse(*chunks)]) if request.query.get("alt") == "sse" else whole(chunks)

    def _countTokens(self, _: web.Request, body: Any) -> Answer:
        inner = body.get("generateContentRequest", body)
        texts = [part.get("text", "") for each in inner["contents"] for part in each["parts"]]
        return whole({"totalTokens": sum(len(text.split()) for text in texts)})

    def _batchEmbedContents(self, _: web.Request, body: Any) -> Answer:
        requests = body["requests"]
        if len(requests) > 100:
            message = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
            return error(400, message)
        vectors = []
        for each in requests:
            size = each.get("outputDimensionality", 4)
            if size > 3072:
                return error(400, "output_dimensionality must be at most 3072")
            length = len(each["content"]["parts"][0]["text"])
            vectors.append({"values": [float(length), *[0.5] * (size - 1)]})
        return whole({"embeddings": vectors, **self.embedding})


@asynccontextmanager
async def fake_gemini() -> AsyncIterator[FakeGemini]:
    """The server on a free port, until the block ends."""
    fake = FakeGemini()
    app = web.Application()
    app.router.add_get("/v1beta/models", fake.models_of)
    app.router.add_post("/v1beta/models/{call}", fake.ask)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1beta"
    try:
        yield fake
    finally:
        await runner.cleanup()
