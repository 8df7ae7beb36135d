"""Accumulates events into the whole reply: Generate returns what StreamGenerate would have streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, Reasoning
from clawdbot.model_gateway.v1.generation_pb2 import GenerateResponse

from clawdbot_model_gateway.core.events import Event


def accumulate(events: Iterable[Event]) -> GenerateResponse:
    """The whole reply. Parts keep the order of their events; neighbouring deltas become one part.

    Without a `finished` event the reply is TRUNCATED.
    """
    accumulator = _Accumulator()
    for event in events:
        kind = event.WhichOneof("event")
        if kind is not None and (add := _HANDLERS.get(kind)) is not None:
            add(accumulator, event)
    accumulator.close_part()
    return accumulator.reply


class _Accumulator:
    """A reply under construction."""

    def __init__(self) -> None:
        self.reply = GenerateResponse(
            message=Message(role=ROLE_ASSISTANT),
            finish_reason=FINISH_REASON_TRUNCATED,
            truncated=True,
        )
        self._kind = ""
        self._deltas: list[str] = []
        self._signature = b""
        self._redacted = False

    def started(self, event: Event) -> None:
        started = event.started
        self.reply.model, self.reply.backend = started.model, started.backend
        self.reply.cache_status = started.cache_status
        if started.warnings:
            self.reply.warnings.extend(started.warnings)

    def text(self, event: Event) -> None:
        self._open("text")
        self._deltas.append(event.text_delta.text)

    def reasoning(self, event: Event) -> None:
        delta = event.reasoning_delta
        if delta.redacted != self._redacted:
            self.close_part()
        self._open("reasoning")
        self._redacted = delta.redacted
        self._deltas.append(delta.text)
        if delta.signature:
            # A signature ends the reasoning part that it signs.
            self._signature = delta.signature
            self.close_part()

    def tool_call(self, event: Event) -> None:
        self.close_part()
        self.reply.message.parts.add(tool_call=event.tool_call_done.tool_call)

    def usage(self, event: Event) -> None:
        self.reply.usage.CopyFrom(event.usage)

    def finished(self, event: Event) -> None:
        finished = event.finished
        self.reply.finish_reason = finished.finish_reason
        self.reply.raw_finish_reason = finished.raw_finish_reason
        self.reply.truncated = finished.truncated

    def _open(self, kind: str) -> None:
        if self._kind != kind:
            self.close_part()
            self._kind = kind

    def close_part(self) -> None:
        whole = "".join(self._deltas)
        if self._kind == "text" and whole:
            self.reply.message.parts.add(text=whole)
        elif self._kind == "reasoning" and (whole or self._signature or self._redacted):
            reasoning = Reasoning(text=whole, signature=self._signature, redacted=self._redacted)
            self.reply.message.parts.append(Part(reasoning=reasoning))
        self._kind, self._deltas, self._signature, self._redacted = "", [], b"", False


_HANDLERS: dict[str, Callable[[_Accumulator, Event], None]] = {
    "started": _Accumulator.started,
    "text_delta": _Accumulator.text,
    "reasoning_delta": _Accumulator.reasoning,
    "tool_call_done": _Accumulator.tool_call,
    "usage": _Accumulator.usage,
    "finished": _Accumulator.finished,
}
