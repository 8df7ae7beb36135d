"""What vendors write in an error, and what it means: tables of codes and of wordings, shared by all formats.

Sources: the vendors' error pages (OpenAI, Azure, Anthropic, DeepSeek, Moonshot, OpenRouter, Alibaba, Zhipu,
    MiniMax, Mistral, Groq, xAI, Cohere), the servers' sources (vLLM, SGLang, llama.cpp, Ollama, LM Studio,
    TGI, TensorRT-LLM), and public bug reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    ContentFiltered,
    ContextTooLong,
    LimitTooSmall,
    MediaRefused,
    ModelError,
    ModelMissing,
    NoEndpoint,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)

ErrorClass = type[ModelError]

_CODES: Final[Mapping[ErrorClass, tuple[str, ...]]] = {
    BackendAuth: (
        *("invalid_api_key", "authentication_error", "invalid_authentication_error"),
        *("permission_error", "permission_denied"),
    ),
    QuotaExhausted: (
        *("insufficient_quota", "insufficient_balance", "exceeded_current_quota_error", "arrearage"),
        *("billing_hard_limit_reached", "billing_not_active", "billing_error", "insufficient_credits"),
        *("contract_spend_limit_reached", "enforced_spend_limit_reached"),
        "linked_organization_spend_limit_reached",
    ),
    RateLimited: ("rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error"),
    BackendOverloaded: ("overloaded_error", "engine_overloaded_error", "server_overloaded"),
    ModelMissing: ("model_not_found", "deploymentnotfound"),
    ContextTooLong: (
        *("context_length_exceeded", "exceed_context_size_error", "context_exceeded"),
        *("context_window_exceeded", "model_context_window_exceeded", "context_too_long"),
        *("model_max_prompt_tokens_exceeded", "prompt_too_long", "input_too_long", "string_above_max_length"),
        "1261",  # Zhipu
        "3051",  # Mistral
    ),
    ContentFiltered: (
        *("content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"),
        *("data_inspection_failed", "datainspectionfailed", "sensitive", "content_filter_error"),
        *("sensitivecontentdetected", "inputtextsensitivecontentdetected", "moderation_blocked"),
        "1301",  # Zhipu
    ),
    RequestRefused: ("request_too_large",),
    BackendFailed: ("server_error", "internal_server_error", "internalservererror"),
}
ERROR_CODES: Final[Mapping[str, ErrorClass]] = {
    code: error_class for error_class, codes in _CODES.items() for code in codes
}
"""`code` or `type` of an error, in lower case → error class."""

CONTEXT_WORDINGS: Final[Mapping[str, str]] = {
    "OpenAI, Azure, vLLM, DeepSeek, OpenRouter, Together, Fireworks": r"maximum (context|model) length",
    "OpenAI, llama.cpp, LM Studio, MiniMax, Ollama": r"context[ _](length|window|size|limit)",
    "OpenAI": r"input tokens exceed the configured limit",
    "Anthropic, Zhipu, Ollama": r"(prompt|context) (is )?too (long|large)",
    "Bedrock, Replicate, Moonshot": r"input (token )?(length )?(is )?too long",
    "Gemini": r"token count.{0,40}exceeds the maximum",
    "GitHub Copilot": r"token count.{0,40}exceeds the limit",
    "xAI": r"maximum prompt length",
    "Groq, Cerebras, vLLM": r"reduce the length of the (messages|prompt|input)",
    "Mistral": r"too large for model with \d",
    "Moonshot": r"exceeded model token limit|length of tokens in the request is too long|conversation length",
    "DashScope": r"range of input length should be",
    "Cohere, Bedrock": r"too many (input )?tokens|token limit exceeded",
    "Perplexity": r"length of all messages is too long",
    "SGLang": r"input length.{0,40}exceeds the maximum allowed|longer than the model'?s context",
    "LM Studio": r"\bn_keep\b.{0,80}\bn_ctx\b",
    "TGI": r"`?inputs`? (tokens \+|must have less than)",
    "TensorRT-LLM": r"(prompt|input) length.{0,40}exceeds? max(imum)?",
    "TabbyAPI, LMDeploy": r"max_(seq|session)_len",
    "watsonx": r"input tokens.{0,40}cannot exceed",
    "MLX, Hugging Face": r"maximum (sequence|input|allowed input) length",
    "Chinese vendors": (
        r"上下文(长度|窗口)|(输入|长度|token|上下文).{0,12}(超过|超出|超限|过长)|(超过|超出).{0,12}(长度|上下文|token)"
    ),
    "others, in tokens": (
        r"\d+ tokens?\b.{0,40}(too (long|large|many)|more than|over the).{0,60}(model|max|limit|supports?)"
        r"|tokens?\b.{0,40}\bexceeds?.{0,30}(model|window|max(imum)? (message|input|prompt))"
        r"|reduce (your|the) (prompt|input|conversation)"
    ),
    "others": (
        r"(input|prompt|messages?|request|conversation|query)\b.{0,60}"
        r"(exceeds?|exceeded|longer than|greater than|larger than|too long|too large).{0,60}"
        r"(context|max(imum)? (number of |input )?(tokens|length)|tokens? limit|limit of \d+ tokens)"
    ),
}
"""Vendors → how they say that the conversation does not fit, in lower case."""

MEDIA_WORDINGS: Final = (
    r"(image|audio|video|file)s? (input )?(is|are) not supported",  # llama.cpp, with status 500
    r"(not|n't) support(ed)?\b.{0,40}\b(image|audio|video|vision|multimodal|file)",
    r"(image|data|base64|https?|file)[ _:-]{0,2}ur[li]s?\b.{0,60}\b(unsupported|invalid)",
    r"(image|data|base64|https?|file)[ _:-]{0,2}ur[li]s?\b.{0,60}\bnot (supported|allowed)",
    r"(unsupported|invalid|only)\b.{0,40}\b(image|data|base64|https?|file)\b.{0,12}\bur[li]s?\b",
    r"must be a base64|not a multimodal model",  # LM Studio, vLLM
    r"(unsupported|invalid|(could not|unable to) (process|decode)).{0,20}\b(image|audio|media)\b",
)
"""How vendors say that they do not take a medium in the form in which it was sent."""

_RATE: Final = r"rate.?limit|per[_ ](min|day|hour|sec)|\btpm\b|throttl|please wait|too many requests|quota"
"""Words of a limit per time, which is also a number of tokens but says nothing about the context."""

WORDINGS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (
        re.compile(
            r"no (allowed )?(endpoints?|providers?) (are )?(found|available)|no available (channel|provider)"
        ),
        NoEndpoint,
    ),
    (
        re.compile(
            r"content management policy|content exists risk|usage polic|usage guidelines|safety (check|polic)"
            r"|content.{0,20}filter|inappropriate content|considered high risk|flagged (for|as)"
            r"|prohibited.content|prompt (was |has been )?blocked|blocked by (the )?(safety|content)"
            r"|content polic|guardrail.{0,20}(intervened|blocked)|new_sensitive"
        ),
        ContentFiltered,
    ),
    (
        # Only without the words of a rate limit anywhere.
        re.compile(rf"^(?!.*({_RATE})).*({'|'.join(CONTEXT_WORDINGS.values())})", re.DOTALL),
        ContextTooLong,
    ),
    (
        re.compile(
            r"(invalid|incorrect|missing|wrong)\b.{0,40}\bapi[ _-]?key|api[ _-]?key\b.{0,40}\b(in|not )valid"
        ),
        BackendAuth,
    ),
    (
        re.compile(
            r"credit balance is too low|exceeded your current quota|used all available credits"
            r"|insufficient (balance|credits?|funds|quota)|credits? (are|is) (depleted|exhausted)"
        ),
        QuotaExhausted,
    ),
    (re.compile(r"out of credits|余额不足|欠费"), QuotaExhausted),
    (re.compile(r"敏感|违规|不安全"), ContentFiltered),
    (re.compile("|".join(MEDIA_WORDINGS)), MediaRefused),
    (re.compile(r"server busy|maximum pending requests"), BackendOverloaded),
    (re.compile(r"^model: "), ModelMissing),
    (re.compile(r"\bmodel\b.{0,200}(does not exist|not found|not exist|is not available)"), ModelMissing),
)
"""Patterns in the message, in lower case, for errors that have no code of their own."""

INFORMATIVE_STATUSES: Final = frozenset({400, 403, 404, 413, 422, 500, 502})
"""Statuses whose message says more than the status itself."""

INFORMATIVE_TOGETHER: Final = frozenset({(429, QuotaExhausted), (503, NoEndpoint)})
"""Statuses with the only class that a message may say of them."""

MAX_READ_CHARACTERS: Final = 2000
"""Characters of a message that are read: what comes later is what we sent."""

_LIMIT: Final = re.compile(r"\blimit:?\s*([\d,]+).{0,60}?\brequested:?\s*([\d,]+)", re.DOTALL)
"""OpenAI, Groq, Cerebras: "Limit 6000, Requested 42084"."""


def class_of_wording(status: int, text: str) -> ErrorClass | None:
    """The error class that a message says, if it says more than the status.

    Args:
        status: of the response.
        text: the message.
    """
    lower = text[:MAX_READ_CHARACTERS].lower()
    if _never_fits(lower):
        return LimitTooSmall
    for pattern, error_class in WORDINGS:
        read = status in INFORMATIVE_STATUSES or (status, error_class) in INFORMATIVE_TOGETHER
        if read and pattern.search(lower):
            return error_class
    return None


def _never_fits(lower: str) -> bool:
    """Whether a limit per time is smaller than this one request, so that no waiting helps."""
    if not re.search(_RATE, lower):
        return False
    found = _LIMIT.search(lower)
    if found is None:
        return "request too large for" in lower
    limit, requested = (int(each.replace(",", "") or 0) for each in found.groups())
    return requested > limit
