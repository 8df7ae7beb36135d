"""What vendors write in an error, and what it means: tables of wordings, shared by all formats.

Sources: the vendors' error pages (OpenAI, Azure, Anthropic, DeepSeek, Moonshot, OpenRouter, Alibaba, Zhipu,
    MiniMax, Mistral, Groq, xAI, Cohere), the servers' sources (vLLM, SGLang, llama.cpp, Ollama, LM Studio,
    TGI, TensorRT-LLM), and public bug reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendOverloaded,
    ContentFiltered,
    ContextTooLong,
    FeatureRefused,
    MediaRefused,
    ModelMissing,
    NoEndpoint,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
)
from clawdbot_model_gateway.http.error_codes import ErrorClass

_OTHER_LIMITS: Final = r"max_(completion_|output_)?tokens|\bpixels?\b|\bimages?\b|\bitems\b|\belements\b"
"""Words of limits that a shorter conversation does not keep."""
CONTEXT_WORDINGS: Final[Mapping[str, str]] = {
    "OpenAI, Azure, vLLM, DeepSeek, OpenRouter, Together, Fireworks": r"maximum (context|model) length",
    "OpenAI, llama.cpp, LM Studio, MiniMax, Ollama": (
        # In words: with an underscore or in quotes it is a field.
        r"(?<![`'\"\w.])context (length|window|size|limit)(?![`'\"\w])(?!.{0,40}too (small|short))"
        r"|context_(length|window|size|limit)\W{0,2}.{0,20}exceed|exceed.{0,40}context_(length|window|size|limit)"
    ),
    "OpenAI": r"input tokens exceed the configured limit",
    "Anthropic, Zhipu, Ollama": r"(prompt|context) (is )?too (long|large)",
    "Bedrock, Replicate, Moonshot, Baidu": (
        r"(input|prompt|request|conversation|messages?)( text)?( tokens?)?( length)?( is| are)? too long"
        r"|\binput (is )?too large"
        r"|expected maxlength: \d{4,}"
    ),
    "Gemini": r"token count.{0,40}exceeds the maximum",
    "GitHub Copilot": r"token count.{0,40}exceeds the limit",
    "xAI": r"maximum prompt length",
    "Groq, Cerebras, vLLM": r"reduce the length of the (messages|prompt|input)",
    "Mistral": r"too large for model with \d",
    "Moonshot": r"exceeded model token limit|length of tokens in the request is too long|conversation length",
    "DashScope": r"range of input length should be",
    "Cohere, Bedrock, GigaChat": r"too many (input )?tokens|tokens? limit (is |was |has been )?exceeded",
    "Perplexity": r"length of all messages is too long",
    "SGLang": r"input length.{0,40}exceeds the maximum allowed|longer than the model'?s context",
    "LM Studio": r"\bn_keep\b.{0,80}\bn_ctx\b",
    "TGI": r"`?inputs`? (tokens \+|must have less than)",
    "TensorRT-LLM": r"(prompt|input) length.{0,40}exceeds? max(imum)?",
    "TabbyAPI, LMDeploy": r"max_(seq|session)_len",
    "watsonx, Yandex": (
        r"(input|prompt|total) tokens?\b.{0,40}"
        r"(can(not|'t)|must not|may not|should not|must be (no|not) (more|longer|greater)|must be less)"
    ),
    "Baidu, Bedrock": r"max(imum)? (number of )?input (characters|tokens|length)",
    "Vertex AI, NVIDIA": (
        r"(?<!\w)(token count|tokens|input|prompt)\b.{0,60}\bonly (supports?|accepts?|allows?) "
        r"(up to |at most |a maximum of )?[\d,]{4,}\b(?! ?(completion|output|new|generated))"
    ),
    "StepFun, Friendli, Hugging Face": (
        r"(total|input|prompt|request) (tokens?|(sequence )?length)\b.{0,40}\bexceed"
        r"|length of the (input|prompt|messages|conversation)\b.{0,40}\bexceed"
    ),
    "vLLM, where the prompt leaves nothing": r"\bmax_(completion_)?tokens must be at least \d+, got -\d",
    "Bedrock, Anthropic": r"too many total text (bytes|tokens)",
    "SiliconFlow": r"\bmax_(total|input|prompt)_tokens\b.{0,20}exceed",
    "Snowflake": r"max tokens of [\d,]+ exceeded",
    "GitHub": r"too large\b.{0,60}max(imum)? (size|length)?:? ?[\d,]+ tokens",
    "MLX, Hugging Face": r"maximum (sequence|input|allowed input) length",
    "Chinese vendors": (
        r"上下文(长度|窗口)|(输入|长度|token|上下文).{0,12}(超过|超出|超限|过长)|(超过|超出).{0,12}(长度|上下文|token)"
        r"|(输入|内容|请求|文本|对话|消息|prompt|token).{0,12}超长"
    ),
    "others, by two numbers": (
        r"\b(prompt|input|messages?|conversation|sequence|context)\b"
        rf"(?!.{{0,80}}({_OTHER_LIMITS}))"
        r".{0,40}\b[\d,]{4,}\b.{0,40}(limit|max(imum)?|at most|up to|>|<=)( \w+)? ?\(?[\d,]{3,}"
    ),
    "others, in tokens": (
        r"\d+ tokens?\b.{0,40}(too (long|large|many)|more than|over the).{0,60}(model|max|limit|supports?)"
        r"|(?<!max_)(?<!output_)(?<!completion_)tokens?\b.{0,40}"
        r"\bexceeds?.{0,30}(model|window|max(imum)? (message|input|prompt))"
        r"|reduce (your|the) (prompt|input|conversation)"
        r"|\btokens in (the |your |this )?(request|prompt|messages?|input)\b.{0,40}(more|greater|larger) than"
        r"|exceed\w* the max(imum)? number of (input |prompt )?tokens"
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
    r"(not|n't) accept\b.{0,20}\b(image|audio|video|file)|unsupported (file|media|mime)|image_url must",
    r"must be a base64|not a multimodal model",  # LM Studio, vLLM
    r"(unsupported|invalid|(could not|unable to) (process|decode)).{0,20}\b(image|audio|media)\b",
    # DeepSeek, OpenAI: a part that they do not know
    r"unknown variant .{0,4}(image|input_image|video|audio|input_audio|document|file)",
    r"\b(image_url|input_image|input_audio|video_url|images?|audio|video)\b.{0,4} (is|are) only supported",
    r"content\b.{0,40}\b(must|should) be an? (valid )?string",  # Groq, vLLM: parts are not taken at all
    r"downloading (file from )?https?://",
    r"(failed|unable|could not|cannot)\b.{0,6} (download|fetch|retriev|load)\w* (the |an? )?(image|audio)\b",
    r"\b(image|audio|video|pdf|document)s?\b.{0,40}\b(exceeds?|too (large|big|long|small)|larger than)\b",
    r"\bat most \d+ (image|audio|video)|too many (images|audio|videos|documents|pdf)",
    r"(\bonly|must be) base64.{0,12}\bimages?\b|invalid image",
    r"(not|n't) (appear to )?(be |point to )?an? valid image",
    r"\b(image|audio|video|document)\b.{0,80}\b(media|mime).?types?\b|\bappears to be an? image",
)
"""How vendors say that they do not take a medium in the form in which it was sent."""

FEATURE_WORDINGS: Final = (
    r"(not|n't) support (the use of )?(\w+ )?(tools?|function.?call\w*|tool.?(use|choice|call\w*))\b",
    r"\b(tools?|function.?calling|tool.?(use|choice|calling))['\"`]? (parameter )?(is|are) not supported",
    r"function.?calling is not enabled|function.?calling with a response mime type",
    r"\btool_choice\b.{0,60}\b(incompatible|forces|not support (being )?set)\b",
    r"tool choice requires --",  # vLLM, started without it
    r"(not|n't) support (\w+ )?['`\"]?(json.?schema|response.?format|structured outputs?)\b",
    r"\b(json.?schema|response.?format|structured outputs?)\b.{0,30} not supported (by|with|for) th\w+ model",
    r"\bresponse.?format\b.{0,30}\bis unavailable",
)
"""How vendors say that this model lacks what others have."""

MODEL_WORDINGS: Final = (
    r"^model: ",  # Anthropic, with nothing but the name
    r"\bmodel\b.{0,200}(does not exist|not found|not exist|is not available)",
    r"\b(invalid|unknown|unsupported) model\b(?! (param|option|setting|field|output|response|type|config))",
    r"not a valid model|not a chat model|model (identifier|id|name)\b.{0,30}\b(invalid|unknown|not valid)",
    r"\bmodel\b(?! (param|field))([^,;.]|\.(?! )){0,100}\b(been|is|was) (decommission|deprecat|retir)ed\b",
    r"\bmodel\b.{0,100}\breached its end of life",
    r"\bmodels/\S{1,100} is not found|not found for account",  # Gemini, NVIDIA
    r"(n.t|not) have access to (the |this )?model\b",
    r"\bno models? (is |are )?loaded|\bmodel is not loaded|\bdeployment\b.{0,60}does not exist",
    r"llm provider not provided",  # LiteLLM
    r"has not activated the model|on-demand throughput isn.t supported",  # Ark, Bedrock
    r"模型.{0,40}(不存在|已下线|未开通|不可用)|(没有|无).{0,4}该模型",
)
"""How vendors say that they do not have the model."""

QUOTA_WORDINGS: Final = (
    r"credit balance is too low|exceeded your current quota|used all available credits",
    r"insufficient (\w+ )?(balance|credits?|funds|quota)",
    r"credits? (are|is|have|has)? ?(depleted|exhausted|expired)",
    r"balance\b.{0,20}\b(insufficient|not enough|too low)|overdue balance|out of credits",
    r"(n't|not|no longer|no) (have )?(any |enough )?credits\b|requires more credits|payment (is )?required",
    r"\bapi usage limits?\b|key limit exceeded|allocated quota exceeded|inference limit",
    r"(monthly|weekly|included|free) (usage|spend(ing)?|credits?|quota)\b.{0,20}\b(limit|exceeded|used)",
    r"budget (has been |was |is )?exceeded|exceeded (your |the |its )?budget|(spending|spend) (limit|cap)",
    r"account\b.{0,60}\bis (suspended|not active)|account (is not|is) in good standing|\bbilling details\b",
    r"余额不足|欠费|额度不足|额度已|充值|余额.{0,8}(用尽|耗尽)",
)
"""How vendors say that the account has nothing left."""

FILTER_WORDINGS: Final = (
    r"content management policy|content exists risk|usage (polic|guidelines)",
    r"safety (check|polic|system|filter)",
    r"content.{0,20}filter|inappropriate content|considered high risk|flagged (for|as)",
    r"\b(input|prompt|content|request|messages?|text|image|output|response)\b( \w+){0,3} flagged\b",
    r"prohibited.content|prompt (was |has been )?blocked|blocked by (the |our |a )?(safety|content|moder)",
    r"content polic|guardrail.{0,20}(intervened|blocked)|new_sensitive|(requires|by|failed) moderation",
    r"content moderation|moderation (failed|error)|(harmful|unsafe|offensive|disallowed|toxic) content",
    r"violat\w+ (our|the|their|\w+'s)? ?(\w+ ){0,2}(polic|terms|guidelines)|违反",
    r"\b(contains?|containing|include\w*) sensitive\b|sensitive (content|words?)\b.{0,20}\bdetected",
    r"敏感|违规|不安全|内容.{0,6}(审核|安全).{0,6}(未通过|不通过|拦截)",
)
"""How vendors say that a filter stopped the request."""

ROUTER_WORDINGS: Final = (
    r"no (allowed |available )*(model )?(endpoints?|providers?|channels?)\b.{0,12} (found|available|that)",
    r"no available (model )?(channel|provider)|providers have been ignored|not supported by any provider",
    r"无可用.{0,4}(渠道|通道)|没有可用的?(渠道|通道)",
)
"""How routers say that none of their vendors may answer the request."""

_RATE: Final = r"rate.?limit|per[_ ](min|day|hour|sec)|\btpm\b|throttl|please wait|too many requests|quota"
"""Words of a limit per time, which is also a number of tokens but says nothing about the context."""

_CHALLENGE: Final = (
    r"just a moment|attention required|verify you are human|checking your browser|captcha|cloudflare"
)
"""The title of a page that something in front of the vendor shows to what it takes for a robot."""


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


WORDINGS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (re.compile(rf"^an html page.*({_CHALLENGE})"), ProtocolViolation),
    (_any(ROUTER_WORDINGS), NoEndpoint),
    # Before the filter's, since they speak of its policies: the account is out, and not the conversation.
    (
        re.compile(
            r"\b(account|organi[sz]ation|project)\b(.{0,40}\b(is|was|be|been)( \w+)?)?"
            r" (banned|deactivated|disabled|verified)\b"
            r"|\byou( have|.ve) been banned\b|\byour? (access|account)\b.{0,20}\bterminated\b"
        ),
        BackendAuth,
    ),
    (_any(FILTER_WORDINGS), ContentFiltered),
    (
        # Only without the words of a rate limit anywhere.
        re.compile(rf"^(?!.*({_RATE})).*({'|'.join(CONTEXT_WORDINGS.values())})", re.DOTALL),
        ContextTooLong,
    ),
    (
        re.compile(
            r"(invalid|incorrect|missing|wrong)\b.{0,40}\bapi[ _-]?key|api[ _-]?key\b.{0,40}\b(in|not )valid"
            r"|^(unauthorized|unauthenticated|not authenticated)\b"
        ),
        BackendAuth,
    ),
    (_any(QUOTA_WORDINGS), QuotaExhausted),
    (_any(MEDIA_WORDINGS), MediaRefused),
    (_any(FEATURE_WORDINGS), FeatureRefused),
    (
        re.compile(
            r"server busy|maximum pending requests|capacity exceeded|繁忙|饱和"
            r"|\b(is|are) ((currently|temporarily) )?overloaded\b"
            r"|\bmodel\b.{0,60}\b(currently|temporarily) unavailable|^\W*overloaded\W*$| - overloaded\b"
            r"|service (is )?(currently |temporarily )?unavailable"
            r"|loading model|\bmodel\b.{0,60}\bis (still |currently )?loading"
        ),
        BackendOverloaded,
    ),
    (_any(MODEL_WORDINGS), ModelMissing),
    (
        re.compile(
            r"rate (is |was )?(exceeded|reached)|\brate.?limit(ed|ing|s)?\b|too many requests|限流|请求过多"
            r"|per (minute|second) limit exceeded|concurrency limit"
        ),
        RateLimited,
    ),
)
"""Patterns in the message, in lower case, for errors that have no code of their own; the first decides."""

_NO_MORE: Final[frozenset[ErrorClass]] = frozenset()
CLEAR_STATUSES: Final[Mapping[int, frozenset[ErrorClass]]] = {
    401: frozenset({QuotaExhausted}),
    402: _NO_MORE,
    407: _NO_MORE,
    408: _NO_MORE,
    429: frozenset({QuotaExhausted}),
    503: frozenset({NoEndpoint}),
    504: _NO_MORE,
    529: _NO_MORE,
}
"""Statuses that say what they mean → the only classes that a message may say of them. After any other status
the message says more than the status."""

MAX_READ_CHARACTERS: Final = 2000
"""Characters of a message that are read: what comes later is what we sent."""

_LIMITS: Final = (
    re.compile(r"\blimit:?\s*(?P<limit>[\d,]+).{0,60}?\brequested:?\s*(?P<asked>[\d,]+)", re.DOTALL),
    re.compile(r"\brequested:?\s*(?P<asked>[\d,]+)\b.{0,40}?\blimit:?\s*(?P<limit>[\d,]+)", re.DOTALL),
    re.compile(
        r"\brequest\b.{0,20}?\b(?P<asked>[\d,]{3,}) tokens?\W{0,3}"
        r"(is |are |>|exceed\w*|larger|more|greater)(?!.{0,60}\b(left|remain)).{0,60}?(?P<limit>[\d,]{3,})",
        re.DOTALL,
    ),
    re.compile(r"\blimit\b\D{0,20}(?P<asked>[\d,]{3,})( tokens?)? ?> ?(?P<limit>[\d,]{3,})"),
)
"""OpenAI, Groq, Cerebras: "Limit 6000, Requested 42084"; others in the other order, and in a sentence."""


def class_of_wording(status: int, text: str) -> ErrorClass | None:
    """The error class that a message says, if it says more than the status.

    Args:
        status: of the response.
        text: the message.
    """
    lower, allowed = text[:MAX_READ_CHARACTERS].lower(), CLEAR_STATUSES.get(status)
    for pattern, error_class in WORDINGS:
        if (allowed is None or error_class in allowed) and pattern.search(lower):
            return error_class
    return None


def never_fits(text: str) -> bool:
    """Whether a limit per time is smaller than this one request, so that no waiting helps."""
    lower = text[:MAX_READ_CHARACTERS].lower()
    if not re.search(_RATE, lower):
        return False
    found = next(filter(None, (each.search(lower) for each in _LIMITS)), None)
    if found is None:
        return "request too large for" in lower
    return _number(found["asked"]) > _number(found["limit"])


def _number(text: str) -> int:
    return int(text.replace(",", "") or 0)
