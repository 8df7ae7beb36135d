"""From a reply's events to the whole reply: Generate answers what StreamGenerate would have streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, Reasoning
from clawdbot.model_gateway.v1.generation_pb2 import GenerateResponse

from clawdbot_model_gateway.core.events import Event


def fold(events: Iterable[Event]) -> GenerateResponse:
    """The whole reply. Parts come in the order in which they were said; neighbouring pieces are one part.

    Events without a `finished` give a reply that is TRUNCATED.
    """
    folding = _Folding()
    for event in events:
        kind = event.WhichOneof("event")
        if kind is not None and (step := _STEPS.get(kind)) is not None:
            step(folding, event)
    folding.close_part()
    return folding.reply


class _Folding:
    """A reply that grows."""

    def __init__(self) -> None:
        self.reply = GenerateResponse(
            message=Message(role=ROLE_ASSISTANT),
            finish_reason=FINISH_REASON_TRUNCATED,
            truncated=True,
        )
        self._kind = ""
        self._pieces: list[str] = []
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
        self._pieces.append(event.text_delta.text)

    def reasoning(self, event: Event) -> None:
        delta = event.reasoning_delta
        if delta.redacted != self._redacted:
            self.close_part()
        self._open("reasoning")
        self._redacted = delta.redacted
        self._pieces.append(delta.text)
        if delta.signature:
            # A signature closes the thought that it signs.
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
        whole = "".join(self._pieces)
        if self._kind == "text" and whole:
            self.reply.message.parts.add(text=whole)
        elif self._kind == "reasoning" and (whole or self._signature or self._redacted):
            thought = Reasoning(text=whole, signature=self._signature, redacted=self._redacted)
            self.reply.message.parts.append(Part(reasoning=thought))
        self._kind, self._pieces, self._signature, self._redacted = "", [], b"", False


_STEPS: dict[str, Callable[[_Folding, Event], None]] = {
    "started": _Folding.started,
    "text_delta": _Folding.text,
    "reasoning_delta": _Folding.reasoning,
    "tool_call_done": _Folding.tool_call,
    "usage": _Folding.usage,
    "finished": _Folding.finished,
}
