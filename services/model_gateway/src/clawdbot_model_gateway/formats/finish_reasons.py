"""The words with which vendors say why a reply ended, and what they mean: one table for all formats.

Servers that imitate one vendor's API, and proxies before others, pass on the words that they get.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clawdbot.common.v1.finish_reason_pb2 import (
    FINISH_REASON_CANCELLED,
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_CONTEXT_FULL,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MODEL_ERROR,
    FINISH_REASON_PAUSED,
    FINISH_REASON_REFUSAL,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_TRUNCATED,
    FinishReason,
)

from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ModelError,
    RateLimited,
)
from clawdbot_model_gateway.formats.text_joiner import well_formed

WORDS: Final = {
    FINISH_REASON_STOP: "stop eos eos_token end_turn stop_sequence complete completed endoftext",
    FINISH_REASON_LENGTH: "length max_tokens max_length max_output_tokens max_new_tokens token_limit",
    # Of Mistral, Zhipu, and Cohere.
    FINISH_REASON_CONTEXT_FULL: "model_length model_context_window_exceeded error_limit",
    FINISH_REASON_TOOL_CALLS: "tool_calls tool_call tool_use function_call function_calls",
    # Of OpenAI, Zhipu, GigaChat, Bedrock, Cohere, and Gemini.
    FINISH_REASON_CONTENT_FILTER: "content_filter content_filtered sensitive blacklist guardrail_intervened "
    "error_toxic safety recitation blocklist prohibited_content spii language model_armor "
    "image_safety image_prohibited_content image_recitation image_other",
    FINISH_REASON_REFUSAL: "refusal",
    FINISH_REASON_PAUSED: "pause_turn",
    FINISH_REASON_CANCELLED: "cancelled canceled user_cancel",
    FINISH_REASON_MODEL_ERROR: "malformed_function_call unexpected_tool_call too_many_tool_calls "
    "malformed_response malformed_tool_use malformed_model_output missing_thought_signature no_image other",
    FINISH_REASON_TRUNCATED: "timeout time_limit",
}
"""Our reason → the words for it: of OpenAI and of servers that imitate it (TGI, Together), of Anthropic,
Bedrock, Cohere, Gemini and watsonx."""
MEANINGS: Final = {word: reason for reason, words in WORDS.items() for word in words.split()}
"""The word, in lower case and with underscores → our reason; any other is UNKNOWN."""
COMPLETE_REASONS: Final = frozenset({FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS})
"""The model ended on its own: a tool's name is not cut, and a call without arguments has none."""

LASTING_REASONS: Final = frozenset(
    {FINISH_REASON_LENGTH, FINISH_REASON_CONTEXT_FULL, FINISH_REASON_CONTENT_FILTER}
)
"""The reply lacks something. A bare "stop" later, as of proxies that end all streams so, changes nothing."""

NO_REASON: Final = frozenset(
    {"", "null", "none", "in_progress", "finish_reason_unspecified", "block_reason_unspecified"}
)
"""What stands for no reason yet, in lower case: some servers write null as a text."""

ERROR_REASONS: Final[Mapping[str, type[ModelError]]] = dict.fromkeys(
    (
        *("error", "failed", "network_error", "model_error", "server_error", "internal_error"),
        *("internal_server_error", "engine_error", "unknown_error", "system_error", "upstream_error"),
    ),
    BackendFailed,
)
"""The word → the error that the backend means with it, whatever it sent before."""
ERROR_REASONS_WITHOUT_CONTENT: Final[Mapping[str, type[ModelError]]] = {
    **dict.fromkeys(
        (
            *("insufficient_system_resource", "overloaded", "unavailable"),
            *("engine_overloaded", "server_overloaded", "model_overloaded", "service_unavailable"),
        ),
        BackendOverloaded,
    ),
    **dict.fromkeys(("abort", "aborted", "interrupted"), BackendFailed),
    **dict.fromkeys(("timeout", "time_limit"), BackendTimeout),
    **dict.fromkeys(("rate_limit", "rate_limited", "rate_limit_exceeded"), RateLimited),
}
"""The same, if it sent nothing."""


def reason_in(value: Any) -> str:
    """The vendor's word; empty for no reason yet."""
    return well_formed(value) if isinstance(value, str) and value.lower() not in NO_REASON else ""


def meaning(reason: str) -> FinishReason.ValueType:
    """What a finish reason means; TRUNCATED if there is none."""
    return events.finish_reason(_word(reason), MEANINGS)


def error_of(reason: str, *, has_content: bool) -> type[ModelError] | None:
    """The error that a finish reason means; None if it is the end of a reply."""
    word = _word(reason)
    return ERROR_REASONS.get(word) or (None if has_content else ERROR_REASONS_WITHOUT_CONTENT.get(word))


def _word(reason: str) -> str:
    """Some write capitals or hyphens, Gemini "content_filter: SAFETY", and its SDKs "FinishReason.STOP"."""
    word = reason.rpartition(": ")[2].rpartition(".")[2].lower().replace("-", "_")
    return word.removeprefix("finish_reason_")
