"""Collects the events of a streamed generation into one message."""

from __future__ import annotations

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_UNSPECIFIED, FinishReason
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, Reasoning
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import ReasoningDelta, StreamGenerateResponse


class ReplyAccumulator:
    """One reply. Its parts have the order of the events; deltas of one kind in a row become one part."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.finish_reason: FinishReason.ValueType = FINISH_REASON_UNSPECIFIED
        self._parts: list[Part] = []

    def add(self, event: StreamGenerateResponse) -> None:
        """Adds an event."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._add_text(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._add_reasoning(event.reasoning_delta)
        elif kind == "tool_call_done":
            self._parts.append(Part(tool_call=event.tool_call_done.tool_call))
        elif kind == "usage":
            self.usage.CopyFrom(event.usage)
        elif kind == "finished":
            self.finish_reason = event.finished.finish_reason

    def message(self) -> Message:
        """Returns the reply so far."""
        return Message(role=ROLE_ASSISTANT, parts=self._parts)

    def _last(self, kind: str) -> Part | None:
        part = self._parts[-1] if self._parts else None
        return part if part is not None and part.WhichOneof("content") == kind else None

    def _add_text(self, text: str) -> None:
        if not text:
            return
        part = self._last("text")
        if part is None:
            self._parts.append(Part(text=text))
        else:
            part.text += text

    def _add_reasoning(self, delta: ReasoningDelta) -> None:
        part = self._last("reasoning")
        # A signature ends a block of reasoning: what follows is a new one.
        if part is None or part.reasoning.signature:
            part = Part(reasoning=Reasoning())
            self._parts.append(part)
        part.reasoning.text += delta.text
        part.reasoning.signature += delta.signature
        part.reasoning.redacted |= delta.redacted
