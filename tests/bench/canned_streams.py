"""The same reply in each vendor's format: what the mock backend streams, and how the bare relay reads it.

`tests/bench/mock_backend.py` serves them all, each under its vendor's path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

DELTAS = 100
"""Text deltas in a reply."""
DELTA = "word "


@dataclass(frozen=True, slots=True)
class CannedStream:
    """The stream of one vendor."""

    base: str
    """Path of the endpoint."""
    path: str
    """Path of a request, below the endpoint."""
    events: Sequence[Mapping[str, Any]]
    """The whole reply, in order."""
    text: Callable[[Any], str]
    """Returns the text of one event; empty where it has none."""
    named: bool = False
    """Whether an event's type is also on an `event:` line."""
    lines: bool = False
    """Whether events are lines of JSON instead of server-sent events."""
    end: bytes = b""
    """Bytes after the last event."""

    @property
    def content_type(self) -> str:
        """Content type of the response."""
        return "application/x-ndjson" if self.lines else "text/event-stream"

    def chunks(self) -> list[bytes]:
        """One per event, as they are written."""
        if self.lines:
            return [orjson.dumps(each) + b"\n" for each in self.events]
        named = [b"event: " + each["type"].encode() + b"\n" if self.named else b"" for each in self.events]
        chunks = [
            name + b"data: " + orjson.dumps(each) + b"\n\n"
            for name, each in zip(named, self.events, strict=True)
        ]
        return [*chunks, self.end] if self.end else chunks


def chat_stream(deltas: int = DELTAS) -> CannedStream:
    """A stream of Chat Completions with so many pieces of text."""

    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c-1", "object": "chat.completion.chunk", "model": "mock", "choices": [choice]}

    usage = {"prompt_tokens": 20, "completion_tokens": deltas, "total_tokens": 20 + deltas}
    last = {"id": "c-1", "object": "chat.completion.chunk", "model": "mock", "choices": [], "usage": usage}
    events = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": DELTA})] * deltas]
    return CannedStream(
        base="/v1",
        path="/chat/completions",
        events=[*events, chunk({}, "stop"), last],
        text=lambda event: (event["choices"][0]["delta"].get("content") or "") if event["choices"] else "",
        end=b"data: [DONE]\n\n",
    )


def _messages() -> CannedStream:
    message = {"id": "m-1", "type": "message", "role": "assistant", "model": "mock", "content": []}
    usage = {"input_tokens": 20, "output_tokens": 1}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": DELTA},
    }
    return CannedStream(
        base="",
        path="/v1/messages",
        events=[
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *[delta] * DELTAS,
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": DELTAS},
            },
            {"type": "message_stop"},
        ],
        text=lambda event: event.get("delta", {}).get("text", ""),
        named=True,
    )


def _gemini() -> CannedStream:
    def event(parts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "mock", "responseId": "r-1"}

    usage = {"promptTokenCount": 20, "candidatesTokenCount": DELTAS, "totalTokenCount": 20 + DELTAS}
    return CannedStream(
        base="",
        path="/v1beta/models/mock:streamGenerateContent",
        events=[
            *[event([{"text": DELTA}])] * DELTAS,
            {**event([{"text": ""}], finishReason="STOP"), "usageMetadata": usage},
        ],
        text=lambda event: event["candidates"][0]["content"]["parts"][0]["text"],
    )


def _ollama() -> CannedStream:
    def line(text: str, **more: Any) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {
            "model": "mock",
            "created_at": "2026-01-01T00:00:00Z",
            "message": message,
            "done": False,
            **more,
        }

    last = line("", done=True, done_reason="stop", prompt_eval_count=20, eval_count=DELTAS)
    return CannedStream(
        base="",
        path="/api/chat",
        events=[*[line(DELTA)] * DELTAS, last],
        text=lambda event: event["message"]["content"],
        lines=True,
    )


def _responses() -> CannedStream:
    response = {"id": "r-1", "object": "response", "model": "mock", "status": "in_progress", "output": []}
    item = {"id": "m-1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    position = {"output_index": 0, "item_id": "m-1", "content_index": 0}
    text = DELTA * DELTAS
    part = {"type": "output_text", "text": text, "annotations": []}
    whole = {**item, "status": "completed", "content": [part]}
    usage = {"input_tokens": 20, "output_tokens": DELTAS, "total_tokens": 20 + DELTAS}
    last = {**response, "status": "completed", "output": [whole], "usage": usage}
    return CannedStream(
        base="/v1",
        path="/responses",
        events=[
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", **position, "part": {**part, "text": ""}},
            *[{"type": "response.output_text.delta", **position, "delta": DELTA}] * DELTAS,
            {"type": "response.output_text.done", **position, "text": text},
            {"type": "response.content_part.done", **position, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
            {"type": "response.completed", "response": last},
        ],
        text=lambda event: event.get("delta", ""),
        named=True,
    )


CANNED_STREAMS: Mapping[str, CannedStream] = {
    "openai_compatible": chat_stream(),
    "openai": _responses(),
    "anthropic": _messages(),
    "gemini": _gemini(),
    "ollama": _ollama(),
}
"""Provider → its stream."""
