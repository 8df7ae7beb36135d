"""Accumulates events into the whole reply: what Generate returns, and what StreamGenerate streams."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Part, Reasoning
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateResponse,
    ReasoningDelta,
    StreamGenerateResponse,
)


def accumulate(events: Iterable[StreamGenerateResponse]) -> GenerateResponse:
    """The whole reply; see ReplyAccumulator."""
    accumulator = ReplyAccumulator()
    for event in events:
        accumulator.add(event)
    return accumulator.reply()


class ReplyAccumulator:
    """A reply under construction.

    Parts keep the order of their events; neighbouring deltas become one part. Without a `finished` event the
    reply is TRUNCATED.
    """

    def __init__(self) -> None:
        # Setting field by field costs half of building the message at once, for each reply.
        self._reply = GenerateResponse()
        self._reply.message.role = ROLE_ASSISTANT
        self._reply.finish_reason, self._reply.truncated = FINISH_REASON_TRUNCATED, True
        self._kind = ""
        self._deltas: list[str] = []
        self._signature = b""
        self._redacted = False

    def add(self, event: StreamGenerateResponse) -> None:
        """Adds the next event."""
        match event.WhichOneof("event"):
            case "text_delta":
                if self._kind != "text":
                    self._open("text")
                self._deltas.append(event.text_delta.text)
            case "reasoning_delta":
                self._add_reasoning(event.reasoning_delta)
            case "tool_call_done":
                self._close_part()
                self._reply.message.parts.add(tool_call=event.tool_call_done.tool_call)
            case "started":
                started, reply = event.started, self._reply
                reply.model, reply.backend = started.model, started.backend
                reply.cache_status = started.cache_status
                if started.warnings:
                    reply.warnings.extend(started.warnings)
            case "usage":
                self._reply.usage.CopyFrom(event.usage)
            case "finished":
                end, reply = event.finished, self._reply
                reply.finish_reason, reply.truncated = end.finish_reason, end.truncated
                reply.raw_finish_reason = end.raw_finish_reason

    def reply(self) -> GenerateResponse:
        """The reply so far; it is not a copy. A delta that follows begins a new part."""
        self._close_part()
        return self._reply

    def _add_reasoning(self, delta: ReasoningDelta) -> None:
        if delta.text_was_reasoning:
            self._close_part()
            for part in self._reply.message.parts:
                if part.HasField("text"):
                    part.reasoning.text = part.text.rstrip()
        if delta.redacted != self._redacted:
            self._close_part()
        if self._kind != "reasoning":
            self._open("reasoning")
        self._redacted = delta.redacted
        self._deltas.append(delta.text)
        if delta.signature:
            # A signature ends the reasoning part that it signs.
            self._signature = delta.signature
            self._close_part()

    def _open(self, kind: str) -> None:
        if self._kind:
            self._close_part()
        self._kind = kind

    def _close_part(self) -> None:
        whole = "".join(self._deltas)
        if self._kind == "text" and whole:
            self._reply.message.parts.add(text=whole)
        elif self._kind == "reasoning" and (whole or self._signature or self._redacted):
            reasoning = Reasoning(text=whole, signature=self._signature, redacted=self._redacted)
            self._reply.message.parts.append(Part(reasoning=reasoning))
        self._kind, self._deltas, self._signature, self._redacted = "", [], b"", False
