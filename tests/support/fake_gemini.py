"""A server that speaks the Gemini API as a test tells it to: on a real port, byte for byte, with faults.

tests/contract/providers/test_fake_gemini.py drives it with Google's own client, so that it stays honest.
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


def piece(
    *parts: Mapping[str, Any], finish: str | None = None, usage: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """One GenerateContentResponse: a piece of a stream, or all of a reply."""
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"parts": [dict(each) for each in parts], "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    told = {} if usage is None else {"usageMetadata": dict(usage)}
    return {"candidates": [candidate], **told, "modelVersion": MODEL, "responseId": "r-1", **more}


def counts(
    prompt: int = 7, output: int | None = 3, thoughts: int | None = None, **more: Any
) -> dict[str, Any]:
    """usageMetadata; what is None is not there yet."""
    given = {"candidatesTokenCount": output, "thoughtsTokenCount": thoughts}
    told = {name: each for name, each in given.items() if each is not None}
    details = [{"modality": "TEXT", "tokenCount": prompt}]
    total = prompt + (output or 0) + (thoughts or 0)
    return {
        "promptTokenCount": prompt,
        **told,
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


def text_pieces(*texts: str, finish: str | None = "STOP") -> list[dict[str, Any]]:
    """A reply of text, as Gemini cuts it: each piece with the counts so far, the reason with the last."""
    *before, last = texts
    first = [piece({"text": each}, usage=counts(output=None)) for each in before]
    return [*first, piece({"text": last}, finish=finish, usage=counts())]


def sse(*pieces: Mapping[str, Any] | str, newline: str = "\r\n") -> bytes:
    """The pieces as a stream of events; a text stands for itself. It has no last word."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in pieces]
    return "".join(f"data: {text}{newline}{newline}" for text in texts).encode()


def status(
    code: int, message: str = "no", word: str | None = None, *details: Mapping[str, Any]
) -> dict[str, Any]:
    """A google.rpc.Status."""
    error = {"code": code, "message": message, "status": word or CODES[code]}
    return {"error": {**error, "details": list(details)} if details else error}


def error(code: int, message: str = "no", word: str | None = None, *details: Mapping[str, Any]) -> Answer:
    """An answer that is an error in Google's form."""
    return whole(status(code, message, word, *details), code)


def reason(word: str) -> dict[str, Any]:
    """google.rpc.ErrorInfo."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": word, "domain": "googleapis.com"}


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
    """The server. Scripted answers are given first come, first served; then the usual ones."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: Sequence[Mapping[str, Any]] = [
            {"models": [model(EMBEDDER, "embedContent", limit=2048)], "nextPageToken": "p/2 ="},
            {"models": [model(MODEL)]},
        ]
        self.embedding: Mapping[str, Any] = {}
        """What an answer with embeddings says besides."""

    async def models_of(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        if self.answers:
            return await self._give(request, self.answers.popleft())
        if (refused := self._refused(request)) is not None:
            return await self._give(request, refused)
        tokens = ["", *(each.get("nextPageToken", "") for each in self.pages)]
        return web.json_response(self.pages[tokens.index(request.query.get("pageToken", ""))])

    async def ask(self, request: web.Request) -> web.StreamResponse:
        body = await self._note(request)
        if self.answers:
            return await self._give(request, self.answers.popleft())
        if (refused := self._refused(request)) is not None:
            return await self._give(request, refused)
        name, _, method = request.match_info["call"].rpartition(":")
        answer = getattr(self, f"_{method}", None)
        if answer is None:
            return web.Response(status=404)
        if name not in {MODEL, EMBEDDER}:
            missing = f"models/{name} is not found for API version v1beta, or is not supported for {method}."
            return await self._give(request, error(404, missing))
        return await self._give(request, answer(request, body))

    @staticmethod
    def _refused(request: web.Request) -> Answer | None:
        if request.headers.get("x-goog-api-key") == KEY:
            return None
        return error(400, WRONG_KEY, None, reason("API_KEY_INVALID"))

    def _generateContent(self, _: web.Request, __: Any) -> Answer:
        return whole(piece({"text": "Good evening."}, finish="STOP", usage=counts()))

    def _streamGenerateContent(self, request: web.Request, _: Any) -> Answer:
        pieces = text_pieces("Good", " evening", ".")
        return Answer([sse(*pieces)]) if request.query.get("alt") == "sse" else whole(pieces)

    def _countTokens(self, _: web.Request, body: Any) -> Answer:
        inner = body.get("generateContentRequest", body)
        said = [part.get("text", "") for each in inner["contents"] for part in each["parts"]]
        return whole({"totalTokens": sum(len(text.split()) for text in said)})

    def _batchEmbedContents(self, _: web.Request, body: Any) -> Answer:
        asked = body["requests"]
        if len(asked) > 100:
            sentence = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
            return error(400, sentence)
        vectors = []
        for each in asked:
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
