"""A scriptable server for the Messages API: on a real port, byte for byte, with errors on demand.

tests/contract/providers/test_fake_anthropic.py drives it with Anthropic's own client, so it stays realistic.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.fake_openai import Answer, FakeOpenAI, whole

KEY = "sk-ant-test-0123456789abcdef"
MODEL = "claude-fake-5"
SAMPLING = {"temperature", "top_p", "top_k"}


def usage(prompt: int = 7, output: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        **more,
    }


def message(*content: Mapping[str, Any], reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    """A whole reply."""
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage(),
        **more,
    }


def begin(**more: Any) -> dict[str, Any]:
    """The first event. The API counts one token of output there."""
    return {"type": "message_start", "message": message(reason=None, usage=usage(7, 1), **more)}


def end(reason: str | None = "end_turn", counts: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The last two events."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    counts = {"output_tokens": 3} if counts is None else dict(counts)
    return [{"type": "message_delta", "delta": delta, "usage": counts}, {"type": "message_stop"}]


def start(index: int, block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": dict(block)}


def delta(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def says(*pieces: str, index: int = 0) -> list[dict[str, Any]]:
    """A block of text."""
    deltas = [delta(index, "text_delta", text=each) for each in pieces]
    return [start(index, {"type": "text", "text": ""}), *deltas, stop(index)]


def thinks(*pieces: str, signature: str = "c2ln", index: int = 0) -> list[dict[str, Any]]:
    """A block of thinking."""
    return [
        start(index, {"type": "thinking", "thinking": "", "signature": ""}),
        *(delta(index, "thinking_delta", thinking=each) for each in pieces),
        delta(index, "signature_delta", signature=signature),
        stop(index),
    ]


def calls(name: str, *pieces: str, call_id: str = "toolu_01", index: int = 0) -> list[dict[str, Any]]:
    """A tool call, its arguments in pieces; the API sends an empty piece first."""
    return [
        start(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}),
        *(delta(index, "input_json_delta", partial_json=each) for each in ("", *pieces)),
        stop(index),
    ]


PING = {"type": "ping"}


def sse(*events: Mapping[str, Any] | str, newline: str = "\n") -> bytes:
    """The events as a stream; a string is sent as it is."""
    lines = []
    for each in events:
        if isinstance(each, str):
            lines += [f"data: {each}", ""]
        else:
            lines += [f"event: {each['type']}", f"data: {json.dumps(each, ensure_ascii=False)}", ""]
    return "".join(f"{line}{newline}" for line in lines).encode()


def reply(*pieces: str, reason: str = "end_turn") -> list[dict[str, Any]]:
    """All events of a reply of text."""
    return [begin(), PING, *says(*pieces), *end(reason)]


def error_event(kind: str, message: str) -> dict[str, Any]:
    """An error's body, or its event."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_01"}


def error(status: int, kind: str, message: str = "no", **headers: str) -> Answer:
    return whole(error_event(kind, message), status, **headers)


def listed(name: str = MODEL, *, adaptive: bool = True, disabled: bool = True, effort: bool = True):
    """A model as the API lists it."""
    yes, no = {"supported": True}, {"supported": False}
    types = {
        "adaptive": yes if adaptive else no,
        "enabled": no if adaptive else yes,
        "disabled": yes if disabled else no,
        "between_tools": no,
    }
    levels = dict.fromkeys(("low", "medium", "high", "max"), yes if effort else no)
    return {
        "type": "model",
        "id": name,
        "display_name": "Fake",
        "created_at": "2026-05-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": {
            "effort": {"supported": effort, **levels},
            "thinking": {"supported": True, "types": types},
            "structured_outputs": yes,
        },
    }


class FakeAnthropic(FakeOpenAI):
    """The server. Scripted answers are for the messages, in order; after them, the default one."""

    def __init__(self) -> None:
        super().__init__()
        self.models = [listed()]
        self.page = 1000
        """Models on a page of the list."""
        self.listing: Any = None
        """Sent instead of the list."""

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if self.listing is not None:
            return web.json_response(self.listing)
        names = [each["id"] for each in self.models]
        first = names.index(request.query["after_id"]) + 1 if "after_id" in request.query else 0
        size = min(self.page, int(request.query.get("limit", 20)))
        page = self.models[first : first + size]
        return web.json_response(
            {
                "data": page,
                "has_more": first + size < len(names),
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
            }
        )

    async def get_model(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        name = request.match_info["name"]
        found = [each for each in self.models if each["id"] == name]
        if not found:
            return web.json_response(error_event("not_found_error", f"model: {name}"), status=404)
        return web.json_response(found[0])

    async def count(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        return web.json_response({"input_tokens": 42})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        refused = self._refusal(request, body)
        if refused is not None:
            return await self._send(request, refused)
        if body.get("stream"):
            return await self._send(request, Answer([sse(*reply("Good", " evening", "."))]))
        return await self._send(request, whole(message({"type": "text", "text": "Good evening."})))

    @staticmethod
    def _refusal(request: web.Request, body: Mapping[str, Any]) -> Answer | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.headers.get("x-api-key", bearer) != KEY:
            return error(401, "authentication_error", f"invalid x-api-key: {KEY}")
        version = request.headers.get("anthropic-version")
        if version is None:
            return error(400, "invalid_request_error", "anthropic-version: header is required")
        errors = [f"{name}: Field required" for name in ("max_tokens", "messages") if name not in body]
        if version >= "2026-10-21":
            errors += [f"{name}: Extra inputs are not permitted" for name in sorted(SAMPLING & body.keys())]
        return error(400, "invalid_request_error", errors[0]) if errors else None


@asynccontextmanager
async def fake_anthropic() -> AsyncIterator[FakeAnthropic]:
    """The server on a free port, until the block ends."""
    fake = FakeAnthropic()
    app = web.Application()
    app.router.add_get("/v1/models", fake.list_models)
    app.router.add_get("/v1/models/{name}", fake.get_model)
    app.router.add_post("/v1/messages", fake.messages)
    app.router.add_post("/v1/messages/count_tokens", fake.count)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
