"""Replies in the protocol of every vendor, cut and labelled as a test wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from clawdbot_model_client.accumulator import accumulate

from tests.support import fake_anthropic, fake_gemini, fake_ollama, fake_openai, fake_responses
from tests.support.fake_openai import Answer, whole
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, tool

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Wire:
    """One protocol."""

    provider: str
    serve: Callable[[], AbstractAsyncContextManager[Any]]
    """Runs the fake server."""
    model: str
    text: Callable[..., Records]
    """The records of a stream with these pieces of text."""
    calls: Callable[..., Records]
    """The records of a stream with calls: (id, name, pieces of the arguments)."""
    whole: Callable[..., Any]
    """A reply at once, with a text and calls: (id, name, arguments)."""
    lines: bool = False
    """Whether its streams are lines of JSON."""

    def settings(self, backend: Any, **more: Any) -> dict[str, Any]:
        """The section `model` for the fake server."""
        endpoint = backend.root if self.provider == "ollama" else backend.url
        return {
            "provider": self.provider,
            "endpoint": endpoint,
            "name": self.model,
            "api_key": "k" * 20,
            **more,
        }

    def stream(self, records: Iterable[Mapping[str, Any]]) -> bytes:
        """The bytes of a stream. Characters that are no ASCII are escaped, also half ones."""
        return b"".join(map(self.record, records))

    def record(self, record: Mapping[str, Any]) -> bytes:
        """The bytes of one record."""
        return f"{json.dumps(record)}\n".encode() if self.lines else event(record)


def event(record: Any) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(record)}\n\n".encode()


def labelled(content_type: str, *pieces: Any) -> Answer:
    """An answer with this content type."""
    return Answer(pieces, content_type=content_type)


def _chat_text(*pieces: str) -> Records:
    return fake_openai.text_chunks(*pieces)


def _chat_calls(*calls: tuple[str, str, list[str]]) -> Records:
    chunks = []
    for index, (call_id, name, pieces) in enumerate(calls):
        first = {"index": index, "id": call_id, "function": {"name": name, "arguments": ""}}
        chunks.append(fake_openai.chunk({"tool_calls": [first]}))
        chunks += [
            fake_openai.chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in pieces
        ]
    return [*chunks, fake_openai.chunk({}, "tool_calls"), fake_openai.usage_chunk()]


def _chat_whole(text: str, *calls: tuple[str, str, Any]) -> Any:
    wire = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for call_id, name, arguments in calls
    ]
    message = {"content": text or None, **({"tool_calls": wire} if wire else {})}
    return fake_openai.completion(message, "tool_calls" if calls else "stop")


def _responses_text(*pieces: str) -> Records:
    text = "".join(pieces)
    begin, *_, end = fake_responses.streamed(fake_responses.message(text))
    deltas = [
        fake_responses.event("output_text.delta", delta=piece, output_index=0, content_index=0)
        for piece in pieces
    ]
    return [begin, *deltas, {**end, "response": {**end["response"], "output": []}}]


def _responses_calls(*calls: tuple[str, str, list[str]]) -> Records:
    items = [fake_responses.call(name, "", call_id=call_id) for call_id, name, _ in calls]
    records = [fake_responses.created()]
    for index, (item, (_, _, pieces)) in enumerate(zip(items, calls, strict=True)):
        records.append(fake_responses.event("output_item.added", output_index=index, item=item))
        records += [
            fake_responses.event("function_call_arguments.delta", output_index=index, delta=piece)
            for piece in pieces
        ]
    end = fake_responses.ended()
    return [*records, {**end, "response": {**end["response"], "output": []}}]


def _responses_whole(text: str, *calls: tuple[str, str, Any]) -> Any:
    items = [fake_responses.message(text)] if text else []
    return fake_responses.response(
        *items, *(fake_responses.call(name, json.dumps(args), call_id=each) for each, name, args in calls)
    )


def _anthropic_text(*pieces: str) -> Records:
    return fake_anthropic.reply(*pieces)


def _anthropic_calls(*calls: tuple[str, str, list[str]]) -> Records:
    records = [fake_anthropic.begin()]
    for index, (call_id, name, pieces) in enumerate(calls):
        records += fake_anthropic.calls(name, *pieces, call_id=call_id, index=index)
    return [*records, *fake_anthropic.end("tool_use")]


def _anthropic_whole(text: str, *calls: tuple[str, str, Any]) -> Any:
    blocks = [{"type": "text", "text": text}] if text else []
    uses = [{"type": "tool_use", "id": each, "name": name, "input": args} for each, name, args in calls]
    return fake_anthropic.message(*blocks, *uses, reason="tool_use" if calls else "end_turn")


def _gemini_text(*pieces: str) -> Records:
    return fake_gemini.text_chunks(*pieces)


def _gemini_parts(*calls: tuple[str, str, Any]) -> Records:
    return [{"functionCall": {"id": each, "name": name, "args": args}} for each, name, args in calls]


def _gemini_calls(*calls: tuple[str, str, list[str]]) -> Records:
    parts = _gemini_parts(*((each, name, json.loads("".join(pieces))) for each, name, pieces in calls))
    return [fake_gemini.chunk(*parts, finish="STOP", usage=fake_gemini.counts())]


def _gemini_whole(text: str, *calls: tuple[str, str, Any]) -> Any:
    parts = [{"text": text}] if text else []
    return fake_gemini.chunk(*parts, *_gemini_parts(*calls), finish="STOP", usage=fake_gemini.counts())


def _ollama_text(*pieces: str) -> Records:
    return fake_ollama.text_lines(*pieces)


def _ollama_calls(*calls: tuple[str, str, list[str]]) -> Records:
    wire = [
        {"id": each, "function": {"name": name, "arguments": json.loads("".join(pieces))}}
        for each, name, pieces in calls
    ]
    return [fake_ollama.line({"tool_calls": wire}), fake_ollama.last("stop")]


def _ollama_whole(text: str, *calls: tuple[str, str, Any]) -> Any:
    wire = [{"id": each, "function": {"name": name, "arguments": args}} for each, name, args in calls]
    end = fake_ollama.last("stop")
    return {
        **end,
        "message": {"role": "assistant", "content": text, **({"tool_calls": wire} if wire else {})},
    }


WIRES = {
    "chat": Wire(
        "openai_compatible", fake_openai.fake_openai, "fake-1", _chat_text, _chat_calls, _chat_whole
    ),
    "responses": Wire(
        "openai",
        fake_responses.fake_responses,
        fake_responses.MODEL,
        _responses_text,
        _responses_calls,
        _responses_whole,
    ),
    "anthropic": Wire(
        "anthropic",
        fake_anthropic.fake_anthropic,
        fake_anthropic.MODEL,
        _anthropic_text,
        _anthropic_calls,
        _anthropic_whole,
    ),
    "gemini": Wire(
        "gemini", fake_gemini.fake_gemini, fake_gemini.MODEL, _gemini_text, _gemini_calls, _gemini_whole
    ),
    "ollama": Wire(
        "ollama",
        fake_ollama.fake_ollama,
        fake_ollama.MODEL,
        _ollama_text,
        _ollama_calls,
        _ollama_whole,
        lines=True,
    ),
}
"""Name → protocol."""

RPCS = ["generate", "stream"]
TOOLS = [tool("tables.reserve"), tool("tables.reserve_all"), tool("clock.now")]
"""Of every request: the name of one begins with that of another."""


@asynccontextmanager
async def served(tmp_path, wire, **more):
    """A gateway whose only backend is the fake server of a protocol."""
    async with wire.serve() as backend, gateway(tmp_path, model=wire.settings(backend, **more)) as running:
        yield backend, running.client


async def replies(client, rpc):
    """The reply to a request with tools, whole."""
    return await replies_to(client, asks(tools=TOOLS), rpc)


async def replies_to(client, request, rpc):
    """The reply to a request, whole."""
    result = await client.run(request, rpc)
    return result if rpc == "generate" else accumulate(result)


def parts(reply, kind):
    return [getattr(each, kind) for each in reply.message.parts if each.WhichOneof("content") == kind]


def text(reply):
    return "".join(parts(reply, "text"))


def calls(reply):
    return [(each.name, json.loads(each.arguments_json)) for each in parts(reply, "tool_call")]


def answer(wire, rpc, records, body):
    """The answer to a streaming or unary request. Ollama is always asked for a stream."""
    if rpc == "generate" and not wire.lines:
        return whole(body)
    return labelled("application/x-ndjson" if wire.lines else "text/event-stream", wire.stream(records))
