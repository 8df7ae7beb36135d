"""Codes of vendors' errors, and what they mean: tables that all formats share.

Sources: the vendors' error pages (OpenAI, Azure, Anthropic, DeepSeek, Moonshot, OpenRouter, Alibaba, Ark,
    Zhipu, MiniMax, SiliconFlow, Baidu, Mistral, Groq, xAI, Cohere, Bedrock), and the servers' sources (vLLM,
    SGLang, llama.cpp, TGI, LiteLLM, new-api).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContentFiltered,
    ContextTooLong,
    FeatureRefused,
    MediaRefused,
    ModelError,
    ModelMissing,
    NoEndpoint,
    ProtocolViolation,
    ProxyFailed,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ResponseFormatMissed,
)

ErrorClass = type[ModelError]

STATUS_ERRORS: Final[Mapping[int, ErrorClass]] = {
    401: BackendAuth,
    402: QuotaExhausted,
    403: BackendAuth,
    404: ProtocolViolation,
    405: ProtocolViolation,
    407: ProxyFailed,
    408: BackendTimeout,
    409: BackendFailed,  # two requests at once for the same thing
    410: ModelMissing,  # NVIDIA: it has reached the end of its life
    413: ContextTooLong,
    424: BackendFailed,  # TGI and Bedrock: the model failed
    425: BackendOverloaded,  # RFC 8470: not processed, as it may be a replay
    429: RateLimited,
    498: BackendOverloaded,  # Groq: no capacity for its flex tier
    499: BackendFailed,  # nginx: who asked has gone, which is a proxy between us and the backend
    503: BackendOverloaded,
    504: BackendTimeout,
    524: BackendTimeout,  # Cloudflare
    529: BackendOverloaded,
}
"""Status → error class, where neither code nor message decides."""
STATUS_CLASS_ERRORS: Final[Mapping[int, ErrorClass]] = {
    2: ProtocolViolation,
    3: ProtocolViolation,
    4: RequestRefused,
    5: BackendFailed,
}
"""First digit of a status → the same."""

UNKNOWN_STATUS: Final = 500
"""What an error without a status counts as: another target may do better."""

STATUSES_OF_TYPES: Final[Mapping[str, int]] = {
    # Anthropic names one for each status; OpenAI and those that imitate it use some of them.
    "invalid_request_error": 400,
    "invalid_request": 400,
    "badrequesterror": 400,
    "bad_request": 400,
    "bad_request_error": 400,
    "validation": 422,
    "validationexception": 400,
    "invalid_parameter_error": 400,
    "unsupported_parameter": 400,
    "invalid_value": 400,
    "unprocessable_entity": 422,
    "not_found_error": 404,
    "notfounderror": 404,
    "timeout_error": 504,
    "timeout": 504,
    "gateway_timeout": 504,
    "request_timeout": 504,
    "modeltimeoutexception": 504,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "serviceunavailableexception": 503,
    "unavailable_error": 503,
    "overloaded": 503,
    "generation": 424,
    "incomplete_generation": 424,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
}
"""`type` or `code` → the status that comes with it, for an error that has none, since it follows a 200."""

_EXACT: Final[Mapping[ErrorClass, tuple[str, ...]]] = {
    BackendAuth: (
        *("invalid_api_key", "invalidapikey", "authentication_error", "invalid_authentication_error"),
        *("authfailure", "organization_restricted", "model_terms_required", "unrecognizedclientexception"),
        *("expiredtokenexception", "invalidsignatureexception", "authenticationerror"),
        "2049",  # MiniMax
    ),
    QuotaExhausted: (
        *("insufficient_quota", "insufficient_balance", "exceeded_current_quota_error", "arrearage"),
        *("billing_hard_limit_reached", "billing_not_active", "billing_error", "insufficient_credits"),
        *("contract_spend_limit_reached", "enforced_spend_limit_reached", "allocationquota"),
        *("linked_organization_spend_limit_reached", "budget_exceeded", "servicequotaexceededexception"),
        *("setlimitexceeded", "rpd_limit_reached", "pre_consume_token_quota_failed"),
        *("1113", "1304", "1308", "1309", "1310"),  # Zhipu
        *("1008", "30001"),  # MiniMax, SiliconFlow
    ),
    RateLimited: (
        *("rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "throttling"),
        *("throttlingexception", "toomanyrequests", "toomanyrequestsexception", "too_many_requests"),
        *("limit_requests", "ratelimiterror", "1302", "1303", "1305"),  # the numbers are Zhipu's
    ),
    BackendOverloaded: (
        *("overloaded_error", "engine_overloaded_error", "server_overloaded", "serveroverloaded"),
        *("server_is_overloaded", "slow_down", "model_overloaded", "capacity_exceeded"),
        *("service_tier_capacity_exceeded", "modelnotreadyexception", "serviceunavailableerror"),
        *("3505", "50505"),  # Mistral, SiliconFlow
    ),
    ModelMissing: (
        *("model_not_found", "deploymentnotfound", "resourcenotfoundexception", "invalid_model"),
        *("1211", "1500", "20012"),  # Zhipu, Mistral, SiliconFlow
    ),
    NoEndpoint: ("model_not_supported",),  # Hugging Face's router
    ContextTooLong: (
        *("context_length_exceeded", "exceed_context_size_error", "context_exceeded"),
        "contextwindowexceedederror",
        *("model_max_prompt_tokens_exceeded", "string_above_max_length"),
        *("1261", "3051", "336007", "336103"),  # Zhipu, Mistral, Baidu
    ),
    ContentFiltered: (
        *("content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"),
        *("sensitive", "content_filter_error", "moderation_blocked", "contentpolicyviolationerror"),
        *("1301", "1026", "1027"),  # Zhipu, MiniMax
    ),
    RequestRefused: ("request_too_large",),
    ResponseFormatMissed: ("json_validate_failed",),  # Groq
    BackendFailed: ("tool_use_failed",),  # Groq: the model wrote a call that is none
    FeatureRefused: ("tool_choice_not_supported", "tools_not_supported"),
}
_EXACT_CODES: Final[Mapping[str, ErrorClass]] = {
    code: error_class for error_class, codes in _EXACT.items() for code in codes
}

CODE_PATTERNS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (
        re.compile(
            r"sensitive_?content|content_?filter|policy_?violation|_policy$|risk_?detect|inspection_?failed"
        ),
        ContentFiltered,
    ),
    (
        re.compile(
            r"context_?(length|window|size)_?(limit_?)?exceeded|(prompt|input|context)_?(is_?)?too_?long"
        ),
        ContextTooLong,
    ),
    (
        re.compile(
            r"insufficient_?\w*_?(quota|balance|credits?|funds)|overdue|arrears"
            r"|(budget|spend(ing)?_?limit)_?(exceeded|reached)|out_of_credits"
        ),
        QuotaExhausted,
    ),
    (
        re.compile(
            r"model_?(is_?)?(not_?(found|open|exist|available)|decommissioned|deprecated|retired)"
            r"|(unknown|unsupported|invalid)_?model(_?(name|id))?$"
        ),
        ModelMissing,
    ),
    (re.compile(r"(^|_)(image|audio|video)(_|$)"), MediaRefused),
)
"""Patterns of codes in lower case, for families of them; the first that matches."""

VAGUE_CODES: Final[Mapping[str, ErrorClass]] = {
    **dict.fromkeys(("permission_error", "permission_denied", "accessdenied"), BackendAuth),
    **dict.fromkeys(("accessdeniedexception", "unauthorized", "forbidden"), BackendAuth),
    **dict.fromkeys(("server_error", "internal_server_error"), BackendFailed),
    **dict.fromkeys(("api_error", "internalserverexception", "internalservererror"), BackendFailed),
    # Of routers: what is behind them failed.
    **dict.fromkeys(("upstream_error", "provider_error", "bad_response_status_code"), BackendFailed),
    "do_request_failed": BackendFailed,
}
"""Codes that say no more than a status does, so that the message comes before them."""


def class_of_codes(codes: Iterable[str]) -> ErrorClass | None:
    """What the first code says that is specific."""
    return next((found for code in codes if (found := _class_of(code)) is not None), None)


def class_of_vague(codes: Iterable[str]) -> ErrorClass | None:
    """What the first of the codes says that say no more than a status."""
    return next((VAGUE_CODES[code] for code in codes if code in VAGUE_CODES), None)


def status_of_types(codes: Iterable[str]) -> int:
    """The status that an error without one would have had."""
    return next((STATUSES_OF_TYPES[each] for each in codes if each in STATUSES_OF_TYPES), UNKNOWN_STATUS)


def _class_of(code: str) -> ErrorClass | None:
    return _EXACT_CODES.get(code) or next(
        (error_class for pattern, error_class in CODE_PATTERNS if pattern.search(code)), None
    )
