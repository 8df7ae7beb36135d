"""Folds the events of a generation into the message that they make."""

from __future__ import annotations

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_UNSPECIFIED, FinishReason
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, Reasoning, ToolCall
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import ReasoningDelta, StreamGenerateResponse


class ReplyAccumulator:
    """One reply in the making. Parts keep the order in which they came; deltas of one kind run together."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.finish_reason: FinishReason.ValueType = FINISH_REASON_UNSPECIFIED
        self._parts: list[Part] = []

    def add(self, event: StreamGenerateResponse) -> None:
        """Adds an event."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._text(event.text_delta.text)
        elif kind == "reasoning_delta":
            self._reasoning(event.reasoning_delta)
        elif kind == "tool_call_done":
            self._parts.append(Part(tool_call=event.tool_call_done.tool_call))
        elif kind == "usage":
            self.usage.CopyFrom(event.usage)
        elif kind == "finished":
            self.finish_reason = event.finished.finish_reason

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(part.text for part in self._parts)

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls that are whole."""
        return [part.tool_call for part in self._parts if part.HasField("tool_call")]

    def message(self) -> Message:
        """The reply."""
        return Message(role=ROLE_ASSISTANT, parts=self._parts)

    def _last(self, kind: str) -> Part | None:
        part = self._parts[-1] if self._parts else None
        return part if part is not None and part.WhichOneof("content") == kind else None

    def _text(self, text: str) -> None:
        if not text:
            return
        part = self._last("text")
        if part is None:
            self._parts.append(Part(text=text))
        else:
            part.text += text

    def _reasoning(self, delta: ReasoningDelta) -> None:
        part = self._last("reasoning")
        # A signature closes a block of thought: what follows is another one.
        if part is None or part.reasoning.signature:
            part = Part(reasoning=Reasoning())
            self._parts.append(part)
        part.reasoning.text += delta.text
        part.reasoning.signature += delta.signature
        part.reasoning.redacted |= delta.redacted
