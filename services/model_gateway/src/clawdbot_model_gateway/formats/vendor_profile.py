"""How one vendor's API differs from that of others that speak the same protocol: rows of one table."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from yarl import URL

ThinkTags: TypeAlias = Literal["auto", "at_start", "open", "never"]
"""Where reasoning is in the text, in tags: as the server, the model's name and its replies say
(think_tags.py); in a block that begins the reply; the same, with the first tag in the prompt, so that only
the last one is in the reply; nowhere."""


@dataclass(frozen=True, slots=True)
class VendorProfile:
    """One vendor's API. The defaults are those of a server that nothing is known about."""

    hosts: tuple[str, ...] = ()
    """Hosts of the vendor's endpoints; their subdomains are included."""
    max_tokens_field: str = "max_tokens"
    """The field's name; OpenAI's own models take "max_completion_tokens"."""
    unsupported: AbstractSet[str] = frozenset()
    """Paths of fields that the server refuses."""
    stream_usage: bool = True
    """Whether `stream_options` may ask for usage at the end of a stream."""
    tokenizes: bool = True
    """Whether the server may have an endpoint that counts tokens."""
    reasoning_field: str = ""
    """The field of an assistant's message that takes its reasoning back: "content" in <think> tags before the
    text. Empty: there is none, and some vendors refuse it."""
    reasoning_details: bool = False
    """Whether it takes OpenRouter's details back, signed and encrypted reasoning among them."""
    needs_reasoning: bool = False
    """Whether a message with tool calls is refused without its reasoning; DeepSeek refuses any of the
    assistant's, where there are tools."""
    assistant_after_tool: bool = False
    """Whether only the assistant may speak after a tool's result."""
    marks_prefix: bool = False
    """Whether a message of the assistant comes last only if it is marked as the beginning of the reply."""
    system_role_late: str = "system"
    """The role of an instruction after the beginning of the conversation, where some refuse "system"."""
    takes_names: bool = True
    """Whether a message may have the name of its speaker."""
    user_first: bool = False
    """Whether the assistant may not be the first to speak."""
    alternates: bool = False
    """Whether neighbouring messages of one role are refused, so that they are joined."""
    streams_only: bool = False
    """Whether some of its models answer only in streams."""
    max_stops: int | None = None
    """How many stop sequences it takes; None: any number."""
    strict_schemas: bool = False
    """Whether a JSON Schema must be one of strict mode (strict_schema.py); others are emulated."""
    flat_tool_schemas: bool = False
    """Whether it refuses a tool's schema that combines others at its top."""
    reasoning_models: str = ""
    """Pattern of the names of the models that reason; empty: none of them refuses anything."""
    effort_for_others: bool = True
    """Whether a model that does not reason ignores an effort, and does not refuse it."""
    some_always_reason: bool = False
    """Whether some of those models cannot be told not to reason (efforts.py)."""
    refused_when_reasoning: AbstractSet[str] = frozenset()
    """Paths of fields that those models refuse, unless the request turns reasoning off."""
    thinking_off: Mapping[str, Any] = field(default_factory=dict)
    """Fields that turn off the thinking of those models, which refuse a forced tool call while they think.
    Empty: an effort of "none" turns it off, and none of them refuses any."""
    call_ids: str = r".{1,40}"
    """Pattern of the ids of tool calls that it takes; OpenAI's limit is 40 characters."""
    thought_signatures: bool = False
    """Whether calls come with Gemini's thought signatures, which it demands back."""
    think_tags: ThinkTags = "auto"
    """Where the text of a reply may contain reasoning, as that of self-hosted models does."""


_OPENAI: Final = VendorProfile(
    max_tokens_field="max_completion_tokens",
    unsupported=frozenset({"sampling.top_k"}),
    tokenizes=False,
    max_stops=4,
    strict_schemas=True,
    flat_tool_schemas=True,
    some_always_reason=True,
    # https://platform.openai.com/docs/guides/latest-model#parameter-compatibility
    # Not gpt-35-turbo, as GPT-3.5 is called on Azure.
    reasoning_models=r"(^|[/:])(o\d\b|gpt-([5-9]|(?!35)\d\d)|codex)(?!.*-chat)",
    refused_when_reasoning=frozenset(
        f"sampling.{name}"
        for name in ("temperature", "top_p", "stop", "presence_penalty", "frequency_penalty")
    ),
    think_tags="never",
)
_JSON_SCHEMA: Final = "response_format.json_schema"
_THINKING_DISABLED: Final = {"thinking": {"type": "disabled"}}

VENDOR_PROFILES: Final[Mapping[str, VendorProfile]] = {
    "openai": replace(_OPENAI, hosts=("api.openai.com",), effort_for_others=False),
    "azure": replace(
        _OPENAI, hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com")
    ),
    # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
    "deepseek": VendorProfile(
        hosts=("api.deepseek.com",),
        unsupported=frozenset({_JSON_SCHEMA}),
        tokenizes=False,
        max_stops=16,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
        # https://github.com/deepseek-ai/DeepSeek-V3/issues/1376
        reasoning_models=".",
        thinking_off=_THINKING_DISABLED,
    ),
    # https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
    "moonshot": VendorProfile(
        hosts=("api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"),
        tokenizes=False,
        max_stops=5,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
        # https://github.com/can1357/oh-my-pi/issues/1077
        reasoning_models=r"kimi-k(2\.[5-9]|[3-9])",
        thinking_off=_THINKING_DISABLED,
    ),
    # https://docs.z.ai/guides/capabilities/thinking-mode
    # https://docs.z.ai/api-reference/llm/chat-completion (of tool_choice only "auto")
    "zhipu": VendorProfile(
        hosts=("api.z.ai", "open.bigmodel.cn"),
        unsupported=frozenset({_JSON_SCHEMA, "tool_choice"}),
        tokenizes=False,
        max_stops=1,
        reasoning_field="reasoning_content",
        reasoning_models=r"glm-(4\.[5-9]|[5-9])",
        thinking_off=_THINKING_DISABLED,
    ),
    # https://platform.minimax.io/docs/api-reference/text-openai-api
    # One instruction, at the beginning: https://github.com/openclaw/openclaw/issues/19386
    "minimax": VendorProfile(
        hosts=("api.minimax.io", "api.minimaxi.com"),
        max_tokens_field="max_completion_tokens",
        unsupported=frozenset(
            {
                *("sampling.presence_penalty", "sampling.frequency_penalty", "sampling.seed"),
                *("sampling.reasoning_effort", "tool_choice", "tool_choice.disable_parallel"),
                *("response_format.json", _JSON_SCHEMA),
            }
        ),
        tokenizes=False,
        system_role_late="user",
        alternates=True,
        reasoning_field="content",
        think_tags="at_start",
    ),
    # https://github.com/agentscope-ai/QwenPaw/issues/433
    "siliconflow": VendorProfile(
        hosts=("api.siliconflow.cn", "api.siliconflow.com"),
        tokenizes=False,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
    ),
    # https://github.com/suyiiyii/AutoGLM-GUI/issues/396
    "xiaomi": VendorProfile(
        hosts=("api.xiaomimimo.com",),
        tokenizes=False,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
    ),
    # QwQ, Qwen-Omni and models that think answer only in streams.
    # https://help.aliyun.com/zh/model-studio/error-code
    "alibaba": VendorProfile(
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        tokenizes=False,
        streams_only=True,
        # https://github.com/vercel/ai/pull/20871
        reasoning_field="reasoning_content",
        # https://github.com/cloudwego/eino/issues/994
        reasoning_models=r"(qwen-?3|qwen-(plus|flash|turbo)|deepseek|kimi|glm)(?!.*(coder|instruct))",
        thinking_off={"enable_thinking": False},
    ),
    # Refuses unknown fields. https://console.groq.com/docs/openai
    "groq": VendorProfile(
        hosts=("api.groq.com",),
        max_tokens_field="max_completion_tokens",
        unsupported=frozenset({"sampling.top_k"}),
        takes_names=False,
        tokenizes=False,
        max_stops=4,
        strict_schemas=True,
    ),
    # https://inference-docs.cerebras.ai/resources/openai
    # https://github.com/QwenLM/qwen-code/issues/11045
    "cerebras": VendorProfile(
        hosts=("api.cerebras.ai",),
        max_tokens_field="max_completion_tokens",
        unsupported=frozenset({"sampling.top_k", "sampling.presence_penalty", "sampling.frequency_penalty"}),
        tokenizes=False,
        reasoning_field="reasoning",
        max_stops=4,
        strict_schemas=True,
    ),
    # https://docs.x.ai/docs/models#models-and-pricing
    "xai": VendorProfile(
        hosts=("api.x.ai",),
        unsupported=frozenset({"sampling.top_k"}),
        tokenizes=False,
        reasoning_models=r"grok-(3-mini|[4-9]|code)(?!.*non-reasoning)",
        refused_when_reasoning=frozenset(
            {"sampling.stop", "sampling.presence_penalty", "sampling.frequency_penalty"}
        ),
    ),
    # https://docs.perplexity.ai/guides/chat-completions-guide
    "perplexity": VendorProfile(
        hosts=("api.perplexity.ai",),
        unsupported=frozenset({"sampling.seed"}),
        tokenizes=False,
        user_first=True,
        alternates=True,
        system_role_late="user",
    ),
    # https://openrouter.ai/docs/use-cases/reasoning-tokens
    "openrouter": VendorProfile(
        hosts=("openrouter.ai",), tokenizes=False, reasoning_field="reasoning", reasoning_details=True
    ),
    # Refuses unknown fields with 422. https://github.com/mistralai/mistral-common/issues/169
    "mistral": VendorProfile(
        hosts=("api.mistral.ai",),
        unsupported=frozenset({"sampling.top_k", "sampling.seed"}),
        tokenizes=False,
        user_first=True,
        assistant_after_tool=True,
        takes_names=False,
        system_role_late="user",
        marks_prefix=True,
        call_ids=r"[A-Za-z0-9]{9}",
    ),
    "anthropic": VendorProfile(hosts=("api.anthropic.com",), think_tags="never"),
    # https://ai.google.dev/gemini-api/docs/thought-signatures
    # Refuses unknown fields. https://github.com/versun/RSSBox/issues/132
    "gemini": VendorProfile(
        hosts=("googleapis.com",),
        unsupported=frozenset(
            {
                *("sampling.top_k", "sampling.seed", "sampling.presence_penalty"),
                *("sampling.frequency_penalty", "tool_choice.disable_parallel"),
            }
        ),
        max_stops=5,
        thought_signatures=True,
        think_tags="at_start",
    ),
}
"""Name of the vendor → its profile."""


def vendor_profile(endpoint: str, vendor: str | None = None) -> VendorProfile:
    """The profile of an endpoint.

    Args:
        endpoint: its URL.
        vendor: the name in the table, where the configuration has one; else the host decides.
    """
    if vendor is not None:
        return VENDOR_PROFILES[vendor]
    host = f".{URL(endpoint).host or ''}"
    known = (
        each for each in VENDOR_PROFILES.values() if any(host.endswith(f".{name}") for name in each.hosts)
    )
    return next(known, VendorProfile())
