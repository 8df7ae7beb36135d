"""A scriptable server for OpenAI's Responses API: on a real port, with errors on demand.

tests/contract/providers/test_fake_responses.py drives it with OpenAI's own client, so that it stays
realistic.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.fake_openai import KEY, Answer, FakeOpenAI, error, whole

MODEL = "gpt-6-fake"


def response(*output: Mapping[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A whole response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage() if status in {"completed", "incomplete"} else None,
        **more,
    }


def usage(
    prompt: int = 7, output: int = 3, cached: int = 0, cache_write: int = 0, reasoning: int = 0
) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": cache_write},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + output,
    }


def message(*parts: str, refusal: str = "", status: str = "completed", name: str = "msg_1") -> dict[str, Any]:
    """An item with text."""
    content: list[dict[str, Any]] = [
        {"type": "output_text", "text": each, "annotations": []} for each in parts
    ]
    if refusal:
        content.append({"type": "refusal", "refusal": refusal})
    return {"type": "message", "id": name, "role": "assistant", "status": status, "content": content}


def call(name: str, arguments: str, call_id: str = "call_1", status: str = "completed") -> dict[str, Any]:
    """An item that calls a tool."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def reasoning(*summary: str, encrypted: str | None = "gAAA:x=", name: str = "rs_1") -> dict[str, Any]:
    """An item with the model's reasoning."""
    texts = [{"type": "summary_text", "text": each} for each in summary]
    return {"type": "reasoning", "id": name, "summary": texts, "encrypted_content": encrypted}


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **more}


def created() -> dict[str, Any]:
    return event("created", response=response(status="in_progress"))


def ended(*output: Mapping[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    return event(status, response=response(*output, status=status, **more))


def item_events(index: int, item: Mapping[str, Any], size: int = 5) -> list[dict[str, Any]]:
    """The events that OpenAI streams an item in, its texts in pieces of this many characters."""
    at = {"output_index": index, "item_id": item["id"]}
    kind = item["type"]
    empty_item = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }[kind]
    added = {**item, **empty_item, "status": "in_progress"}
    events = [event("output_item.added", output_index=index, item=added)]
    if kind == "function_call":
        events += [
            event("function_call_arguments.delta", delta=each, **at)
            for each in pieces(item["arguments"], size)
        ]
        events.append(event("function_call_arguments.done", arguments=item["arguments"], **at))
    for part_index, part in enumerate(item.get("content", ())):
        name, text = {"output_text": ("output_text", "text"), "refusal": ("refusal", "refusal")}[part["type"]]
        more = {"content_index": part_index, **at}
        empty_part = {**part, text: ""}
        events.append(event("content_part.added", part=empty_part, **more))
        events += [
            event(f"{name}.delta", delta=each, logprobs=[], **more) for each in pieces(part[text], size)
        ]
        events.append(event(f"{name}.done", logprobs=[], **{text: part[text]}, **more))
        events.append(event("content_part.done", part=part, **more))
    for part_index, part in enumerate(item.get("summary", ())):
        more = {"summary_index": part_index, **at}
        events.append(event("reasoning_summary_part.added", part={**part, "text": ""}, **more))
        events += [
            event("reasoning_summary_text.delta", delta=each, **more) for each in pieces(part["text"], size)
        ]
        events.append(event("reasoning_summary_text.done", text=part["text"], **more))
    return [*events, event("output_item.done", output_index=index, item=item)]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def streamed(*output: Mapping[str, Any], size: int = 5) -> list[dict[str, Any]]:
    """A whole reply in its events."""
    items = [each for index, item in enumerate(output) for each in item_events(index, item, size)]
    return [created(), event("in_progress", response=response(status="in_progress")), *items, ended(*output)]


def sse(*events: Mapping[str, Any] | str, newline: str = "\n") -> bytes:
    """The events as a stream, numbered; a string is sent as it is."""
    lines: list[str] = []
    for number, each in enumerate(events):
        if isinstance(each, str):
            lines += [f"data: {each}", ""]
        else:
            data = json.dumps({"sequence_number": number, **each}, ensure_ascii=False)
            lines += [f"event: {each.get('type', '')}", f"data: {data}", ""]
    return "".join(f"{line}{newline}" for line in lines).encode()


class FakeResponses(FakeOpenAI):
    """The server; scripted like the one for Chat Completions."""

    def __init__(self) -> None:
        super().__init__()
        self.models = [{"id": "text-embedding-fake", "object": "model"}, {"id": MODEL, "object": "model"}]

    async def respond(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return await self._send(
                request, error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key")
            )
        reply = message("Good evening.")
        return await self._send(
            request, Answer([sse(*streamed(reply))]) if body.get("stream") else whole(response(reply))
        )

    async def count(self, request: web.Request) -> web.StreamResponse:
        body = await self._record(request)
        if self.answers:
            return await self._send(request, self.answers.popleft())
        words = len(json.dumps(body["input"]).split())
        return web.json_response({"object": "response.input_tokens", "input_tokens": words})


@asynccontextmanager
async def fake_responses() -> AsyncIterator[FakeResponses]:
    """The server until the block ends, on a free port."""
    fake = FakeResponses()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/v1/models", fake.list_models)
    app.router.add_post("/v1/responses", fake.respond)
    app.router.add_post("/v1/responses/input_tokens", fake.count)
    app.router.add_post("/v1/embeddings", fake.embed)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
