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


WIRES: Mapping[str, Wire] = {"openai_compatible": _chat()}
"""Provider → its wire."""
