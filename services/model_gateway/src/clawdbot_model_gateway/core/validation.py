"""Validates a GenerateRequest before any backend sees it. Reports all violations at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    CachePolicy,
    GenerateRequest,
    Priority,
    Sampling,
    ToolChoice,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.structs import plain_from_json

PRIORITIES: Final = frozenset(Priority.values())
CACHE_MODES: Final = frozenset(CachePolicy.Mode.values())
TOOL_CHOICES: Final = frozenset(ToolChoice.Mode.values())
ROLES: Final = frozenset({ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL})


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one request."""

    max_bytes: int | None = None
    """Encoded size of the whole request, media included; None: what the server takes is small enough."""
    max_messages: int = 10_000
    media: MediaPolicy = field(default_factory=MediaPolicy)
    """Which images, audio and documents are allowed."""

    def too_large(self, request: GenerateRequest | CountTokensRequest) -> str:
        """What is wrong with the size of a request; empty where nothing is."""
        if self.max_bytes is None or (size := request.ByteSize()) <= self.max_bytes:
            return ""
        return f"The request has {size} bytes; at most {self.max_bytes} are allowed."


def validate_request(request: GenerateRequest, limits: RequestLimits) -> None:
    """Returns where the request is valid.

    Raises:
        InvalidRequest: with a violation for each invalid field.
    """
    violations = _size(request, limits)
    if not violations:
        for index, message in enumerate(request.messages):
            parts = message.parts
            # A single text with a valid role, as nearly every message is, needs no closer look.
            if len(parts) != 1 or not parts[0].text or message.role not in ROLES:
                violations.extend(_message(index, message, limits.media))
        if request.tools:
            violations.extend(_tools(request))
        if request.HasField("tool_choice") or request.HasField("response_format"):
            violations.extend(_choices(request))
        if request.HasField("sampling"):
            violations.extend(_sampling(request.sampling))
        if request.priority not in PRIORITIES:
            violations.append(FieldViolation("priority", "Must be INTERACTIVE, STANDARD or BATCH."))
        if request.HasField("cache"):
            violations.extend(cache_violations(request.cache))
    if violations:
        raise InvalidRequest(violations)


def _size(request: GenerateRequest, limits: RequestLimits) -> list[FieldViolation]:
    count = len(request.messages)
    if count == 0:
        message = "At least one message is required."
    elif count > limits.max_messages:
        message = f"Has {count} messages; at most {limits.max_messages} are allowed."
    else:
        message = limits.too_large(request)
    return [FieldViolation("messages", message)] if message else []


def _message(index: int, message: Message, media: MediaPolicy) -> Iterator[FieldViolation]:
    path = f"messages[{index}]"
    if message.role not in ROLES:
        yield FieldViolation(f"{path}.role", "Must be SYSTEM, USER, ASSISTANT or TOOL.")
        return
    if not message.parts:
        yield FieldViolation(f"{path}.parts", "At least one part is required.")
    for number, part in enumerate(message.parts):
        kind = part.WhichOneof("content")
        if kind == "text":
            # A model may have replied with nothing; everyone else must send text.
            if not part.text and message.role != ROLE_ASSISTANT:
                yield FieldViolation(f"{path}.parts[{number}].text", "Must not be empty.")
        else:
            yield from _part(f"{path}.parts[{number}]", part, message.role)
            yield from media.violations(f"{path}.parts[{number}]", part)


def _part(path: str, part: Part, role: int) -> Iterator[FieldViolation]:
    """What is wrong with a part that is no text, apart from its media."""
    kind = part.WhichOneof("content")
    if kind is None:
        yield FieldViolation(
            path, "Content is required: text, image, audio, document, reasoning, tool_call or tool_result."
        )
    elif kind in _CONTENT:
        yield from _CONTENT[kind](f"{path}.{kind}", part, role)


def _reasoning(path: str, part: Part, role: int) -> Iterator[FieldViolation]:
    if role != ROLE_ASSISTANT:
        yield FieldViolation(path, f"Only an ASSISTANT message may contain {part.WhichOneof('content')}.")


def _tool_call(path: str, part: Part, role: int) -> Iterator[FieldViolation]:
    yield from _reasoning(path, part, role)
    for name in ("id", "name"):
        if not getattr(part.tool_call, name):
            yield FieldViolation(f"{path}.{name}", "Must not be empty.")
    yield from _json(f"{path}.arguments_json", part.tool_call.arguments_json)


def _tool_result(path: str, part: Part, role: int) -> Iterator[FieldViolation]:
    if role not in {ROLE_TOOL, ROLE_USER}:
        yield FieldViolation(path, "Only a TOOL or USER message may contain tool_result.")
    if not part.tool_result.call_id:
        yield FieldViolation(f"{path}.call_id", "Must be the id of the tool call that it answers.")
    yield from _json(f"{path}.structured_json", part.tool_result.structured_json)


def _json(path: str, text: str) -> Iterator[FieldViolation]:
    if text:
        try:
            plain_from_json(text, path)
        except InvalidRequest as error:
            yield from error.violations


_CONTENT: Final[dict[str, Callable[[str, Part, int], Iterator[FieldViolation]]]] = {
    "reasoning": _reasoning,
    "tool_call": _tool_call,
    "tool_result": _tool_result,
}


def _tools(request: GenerateRequest) -> Iterator[FieldViolation]:
    seen: set[str] = set()
    for index, name in enumerate([tool.name for tool in request.tools]):
        if not name:
            yield FieldViolation(f"tools[{index}].name", "Must not be empty.")
        elif name in seen:
            yield FieldViolation(f"tools[{index}].name", f"{name} is listed twice.")
        seen.add(name)


def _choices(request: GenerateRequest) -> Iterator[FieldViolation]:
    choice = request.tool_choice
    if choice.mode not in TOOL_CHOICES:
        yield FieldViolation("tool_choice.mode", f"Unknown mode {choice.mode}.")
    elif choice.mode == ToolChoice.MODE_REQUIRED and not request.tools:
        yield FieldViolation("tool_choice.mode", "MODE_REQUIRED needs at least one entry in tools.")
    elif choice.mode == ToolChoice.MODE_NAMED and choice.name not in {each.name for each in request.tools}:
        yield FieldViolation("tool_choice.name", "Must be the name of one of the tools.")
    if request.response_format.WhichOneof("format") == "json_schema" and not (
        request.response_format.json_schema.schema.fields
    ):
        yield FieldViolation("response_format.json_schema.schema", "Must not be empty.")


_RANGES: Final[dict[str, tuple[float, float, str]]] = {
    "max_tokens": (1, math.inf, "at least 1"),
    "temperature": (0, 2, "between 0 and 2"),
    "top_p": (0, 1, "between 0 and 1"),
    "top_k": (1, math.inf, "at least 1"),
    "presence_penalty": (-2, 2, "between -2 and 2"),
    "frequency_penalty": (-2, 2, "between -2 and 2"),
    "logprobs": (0, 20, "between 0 and 20"),
}
"""Field → minimum, maximum and the words for both. The bounds of the penalties and logprobs are those of
OpenAI's API."""


def cache_violations(policy: CachePolicy) -> Iterator[FieldViolation]:
    """What is invalid about the policy of a request."""
    if policy.mode not in CACHE_MODES:
        yield FieldViolation("cache.mode", f"Unknown mode {policy.mode}.")
    if policy.HasField("ttl") and policy.ttl.seconds * 10**9 + policy.ttl.nanos <= 0:
        yield FieldViolation("cache.ttl", "Must be more than 0.")


def _sampling(sampling: Sampling) -> Iterator[FieldViolation]:
    for descriptor, value in sampling.ListFields():
        bounds = _RANGES.get(descriptor.name)
        # Written so that NaN, which compares false to everything, is rejected.
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            yield FieldViolation(f"sampling.{descriptor.name}", f"Must be {bounds[2]}.")
    for index, stop in enumerate(sampling.stop):
        if not stop:
            yield FieldViolation(f"sampling.stop[{index}]", "Must not be empty.")
