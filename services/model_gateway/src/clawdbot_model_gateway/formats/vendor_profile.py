"""How one vendor's API differs from that of others that speak the same protocol: rows of one table."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

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
    """The field of an assistant's message that takes its reasoning back; empty: there is none, and some
    vendors refuse it."""
    reasoning_details: bool = False
    """Whether it takes OpenRouter's details back, signed and encrypted reasoning among them."""
    needs_reasoning: bool = False
    """Whether a message with tool calls is refused without its reasoning."""
    assistant_after_tool: bool = False
    """Whether only the assistant may speak after a tool's result."""
    marks_prefix: bool = False
    """Whether a message of the assistant comes last only if it is marked as the beginning of the reply."""
    call_ids: str = r".{1,40}"
    """Pattern of the ids of tool calls that it takes; OpenAI's limit is 40 characters."""
    thought_signatures: bool = False
    """Whether calls come with Gemini's thought signatures, which it demands back."""
    think_tags: ThinkTags = "auto"
    """Where the text of a reply may contain reasoning, as that of self-hosted models does."""


VENDOR_PROFILES: Final[Mapping[str, VendorProfile]] = {
    "openai": VendorProfile(
        hosts=("api.openai.com",),
        max_tokens_field="max_completion_tokens",
        unsupported=frozenset({"sampling.top_k"}),
        tokenizes=False,
        think_tags="never",
    ),
    # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
    "deepseek": VendorProfile(
        hosts=("api.deepseek.com",),
        tokenizes=False,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
    ),
    # https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
    "moonshot": VendorProfile(
        hosts=("api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"),
        tokenizes=False,
        reasoning_field="reasoning_content",
        needs_reasoning=True,
    ),
    # https://docs.z.ai/guides/capabilities/thinking-mode
    "zhipu": VendorProfile(
        hosts=("api.z.ai", "open.bigmodel.cn"), tokenizes=False, reasoning_field="reasoning_content"
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
        assistant_after_tool=True,
        marks_prefix=True,
        call_ids=r"[A-Za-z0-9]{9}",
    ),
    "anthropic": VendorProfile(hosts=("api.anthropic.com",), think_tags="never"),
    # https://ai.google.dev/gemini-api/docs/thought-signatures
    "gemini": VendorProfile(hosts=("googleapis.com",), thought_signatures=True, think_tags="at_start"),
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
