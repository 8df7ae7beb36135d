"""A streamed reply of /api/chat, from its bytes to our events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
)
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot.model_gateway.v1.generation_pb2 import Warning  # noqa: A004 - the contract's name

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, ProtocolViolation
from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_calls import ToolCalls
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.ndjson import LineParser
from clawdbot_model_gateway.http import VendorErrors

WORDS: Final = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
}
"""done_reason → ours; any other word, such as "load" and "unload", is UNKNOWN. Ollama leaves it empty where
its own connection to the model broke."""

LARGEST_COUNT: Final = 2**53
"""Tokens. What is larger is no count."""


class OllamaStream:
    """Reads one reply. Takes pieces as the network brings them; where they are cut makes no difference."""

    nearly_over: Final = False
    """The last event is part of the protocol: without it the reply is not whole."""

    def __init__(
        self, model: str, warnings: Sequence[Warning], names: ToolNames, errors: VendorErrors
    ) -> None:
        """Args: model: what was asked for, shown where the reply names no model."""
        self._model = model
        self._warnings = warnings
        self._errors = errors
        self._calls = ToolCalls(names)
        self._lines = LineParser()
        self._told = False
        self.begun = False
        """Whether anything of the reply has come."""
        self.over = False
        """Whether the last events have been given."""

    def feed(self, piece: bytes, found: list[Event]) -> None:
        """Adds the events that the piece completes.

        Raises:
            ModelFailure: it brings an error, or what is not of this protocol; what came before is in `found`.
        """
        self._take(self._lines.feed(piece), found)

    def end(self, found: list[Event]) -> None:
        """Adds the last events, when the connection has ended. Without `done` the reply is TRUNCATED.

        Raises:
            ModelFailure: as for feed.
        """
        self._take([line for line in self._lines.end() if _whole(line)], found)
        if not self.over:
            if not self.begun:
                raise ProtocolViolation("the stream ended before the reply began")
            self._finish("", {}, found)

    def _take(self, lines: list[bytes], found: list[Event]) -> None:
        for line in lines:
            if self.over:
                return
            try:
                chunk = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise ProtocolViolation("a line of its stream is no JSON") from None
            if not isinstance(chunk, dict):
                raise ProtocolViolation("it sent something that is no JSON object")
            if chunk.get("error"):
                raise self._errors.in_band(_error(chunk))
            self._chunk(chunk, found)

    def _chunk(self, chunk: dict[str, Any], found: list[Event]) -> None:
        message, done = chunk.get("message"), chunk.get("done")
        if not isinstance(message, dict) and done is not True:
            raise ProtocolViolation("a line of its stream holds no message")
        if not self._told:
            self._told = True
            found.append(events.started(_text(chunk.get("model")) or self._model, self._warnings))
        before = len(found)
        if isinstance(message, dict):
            self._message(message, found)
        self.begun = self.begun or len(found) > before
        if done is True:
            word = _text(chunk.get("done_reason"))
            if not word and not self.begun:
                raise BackendFailed("its connection to the model broke before the reply began")
            self._finish(word, chunk, found)

    def _message(self, message: dict[str, Any], found: list[Event]) -> None:
        thought, content = _text(message.get("thinking")), _text(message.get("content"))
        if thought:
            found.append(events.reasoning(thought))
        if content:
            found.append(events.text(content))
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            self._calls.take(list(map(_call, calls)), found)

    def _finish(self, word: str, counts: Mapping[str, Any], found: list[Event]) -> None:
        self.over = True
        reason = events.finish_reason(word, WORDS)
        whole = [*self._calls.done(found)]
        if reason == FINISH_REASON_STOP and whole:
            reason = FINISH_REASON_TOOL_CALLS if all(whole) else FINISH_REASON_MODEL_ERROR
        usage = _usage(counts, broken=reason == FINISH_REASON_TRUNCATED)
        if usage is not None:
            found.append(events.used(usage))
        found.append(events.finished(reason, word))


def _error(chunk: dict[str, Any]) -> dict[str, Any]:
    """An error in the form that tells its status, where it has one: that of a model which runs elsewhere."""
    status = chunk.get("StatusCode")
    return {"error": {"code": status, "message": chunk["error"]}} if isinstance(status, int) else chunk


def _whole(line: bytes) -> bool:
    """Whether a last line without an end was not cut off."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _call(call: Any) -> Any:
    """A call in the form that Chat Completions gives it: whole, and with its arguments as text.

    Ollama numbers calls within one line only, so that its number says nothing.
    """
    if not isinstance(call, dict) or not isinstance(function := call.get("function"), dict):
        return call
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {"id": call.get("id"), "function": {"name": function.get("name"), "arguments": text}}


def _usage(counts: Mapping[str, Any], *, broken: bool) -> Usage | None:
    """None where nothing was counted. The prompt's count is left out where Ollama had all of it cached."""
    prompt, output = _count(counts, "prompt_eval_count"), _count(counts, "eval_count")
    if prompt is None and output is None:
        return None
    partial = broken or prompt is None
    return Usage(
        input_tokens=prompt or 0,
        output_tokens=output or 0,
        provenance=USAGE_PROVENANCE_PARTIAL if partial else USAGE_PROVENANCE_REPORTED,
    )


def _count(counts: Mapping[str, Any], name: str) -> int | None:
    value = counts.get(name)
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_COUNT
    return value if fits else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
