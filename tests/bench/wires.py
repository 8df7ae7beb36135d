"""The same reply in the words of each vendor: what the mock backend streams, and how a bare relay reads it.

By provider; `tests/bench/mock_backend.py` serves them all, each under its vendor's path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

WORDS = 100
"""Pieces of text in a reply."""
PIECE = "word "


@dataclass(frozen=True, slots=True)
class Wire:
    """How one vendor streams."""

    base: str
    """What an endpoint's URL ends in, after host and port."""
    path: str
    """How the path of a request goes on."""
    events: Sequence[Mapping[str, Any]]
    """The whole reply, in order."""
    text: Callable[[Any], str]
    """The text in one event; empty where it has none."""
    named: bool = False
    """Whether an event's type stands on an `event:` line, too."""
    lines: bool = False
    """Whether events are lines of JSON, and not server-sent events."""
    end: bytes = b""
    """What follows the last event."""

    @property
    def content_type(self) -> str:
        """Of the answer."""
        return "application/x-ndjson" if self.lines else "text/event-stream"

    def pieces(self) -> list[bytes]:
        """One for each event, as they are written."""
        if self.lines:
            return [orjson.dumps(each) + b"\n" for each in self.events]
        named = [b"event: " + each["type"].encode() + b"\n" if self.named else b"" for each in self.events]
        pieces = [
            name + b"data: " + orjson.dumps(each) + b"\n\n"
            for name, each in zip(named, self.events, strict=True)
        ]
        return [*pieces, self.end] if self.end else pieces


def _chat() -> Wire:
    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c-1", "object": "chat.completion.chunk", "model": "mock", "choices": [choice]}

    usage = {"prompt_tokens": 20, "completion_tokens": WORDS, "total_tokens": 20 + WORDS}
    last = {"id": "c-1", "object": "chat.completion.chunk", "model": "mock", "choices": [], "usage": usage}
    events = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": PIECE})] * WORDS]
    return Wire(
        base="/v1",
        path="/chat/completions",
        events=[*events, chunk({}, "stop"), last],
        text=lambda event: (event["choices"][0]["delta"].get("content") or "") if event["choices"] else "",
        end=b"data: [DONE]\n\n",
    )


def _messages() -> Wire:
    opened = {"id": "m-1", "type": "message", "role": "assistant", "model": "mock", "content": []}
    usage = {"input_tokens": 20, "output_tokens": 1}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": PIECE},
    }
    return Wire(
        base="",
        path="/v1/messages",
        events=[
            {"type": "message_start", "message": {**opened, "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *[delta] * WORDS,
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": WORDS},
            },
            {"type": "message_stop"},
        ],
        text=lambda event: event.get("delta", {}).get("text", ""),
        named=True,
    )


def _gemini() -> Wire:
    def event(parts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "mock", "responseId": "r-1"}

    usage = {"promptTokenCount": 20, "candidatesTokenCount": WORDS, "totalTokenCount": 20 + WORDS}
    return Wire(
        base="",
        path="/v1beta/models/mock:streamGenerateContent",
        events=[
            *[event([{"text": PIECE}])] * WORDS,
            {**event([{"text": ""}], finishReason="STOP"), "usageMetadata": usage},
        ],
        text=lambda event: event["candidates"][0]["content"]["parts"][0]["text"],
    )


def _ollama() -> Wire:
    def line(text: str, **more: Any) -> dict[str, Any]:
        said = {"role": "assistant", "content": text}
        return {"model": "mock", "created_at": "2026-01-01T00:00:00Z", "message": said, "done": False, **more}

    last = line("", done=True, done_reason="stop", prompt_eval_count=20, eval_count=WORDS)
    return Wire(
        base="",
        path="/api/chat",
        events=[*[line(PIECE)] * WORDS, last],
        text=lambda event: event["message"]["content"],
        lines=True,
    )


def _responses() -> Wire:
    opened = {"id": "r-1", "object": "response", "model": "mock", "status": "in_progress", "output": []}
    item = {"id": "m-1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    place = {"output_index": 0, "item_id": "m-1", "content_index": 0}
    text = PIECE * WORDS
    part = {"type": "output_text", "text": text, "annotations": []}
    whole = {**item, "status": "completed", "content": [part]}
    usage = {"input_tokens": 20, "output_tokens": WORDS, "total_tokens": 20 + WORDS}
    last = {**opened, "status": "completed", "output": [whole], "usage": usage}
    return Wire(
        base="/v1",
        path="/responses",
        events=[
            {"type": "response.created", "response": opened},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
            *[{"type": "response.output_text.delta", **place, "delta": PIECE}] * WORDS,
            {"type": "response.output_text.done", **place, "text": text},
            {"type": "response.content_part.done", **place, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
            {"type": "response.completed", "response": last},
        ],
        text=lambda event: event.get("delta", ""),
        named=True,
    )


WIRES: Mapping[str, Wire] = {
    "openai_compatible": _chat(),
    "openai": _responses(),
    "anthropic": _messages(),
    "gemini": _gemini(),
    "ollama": _ollama(),
}
"""Provider → its wire."""
