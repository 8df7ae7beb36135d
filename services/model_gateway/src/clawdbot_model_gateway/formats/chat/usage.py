"""Finds and decodes the usage of a reply, wherever in a chunk of Chat Completions a vendor puts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from clawdbot.common.v1.usage_pb2 import Usage

from clawdbot_model_gateway.formats.vendor_json import as_object, count_in

INPUT: Final = ("prompt_tokens", "input_tokens")
OUTPUT: Final = ("completion_tokens", "output_tokens")
CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
"""Outside of the details: of DeepSeek, of Moonshot, and of proxies before Anthropic."""
CACHE_WRITE: Final = ("cache_creation_input_tokens",)
REASONING: Final = ("reasoning_tokens",)
DETAILS: Final = tuple(f"{name}_details" for name in (*INPUT, *OUTPUT))
FIELDS: Final = frozenset({*INPUT, *OUTPUT, *CACHED, *CACHE_WRITE, *REASONING, *DETAILS})
"""What a report has at least one of."""


def find_usage(chunk: Mapping[str, Any]) -> Iterator[Usage]:
    """Every report in a chunk: its own, its choice's (Moonshot), and those in fields of the vendor (Groq)."""
    if not FIELDS.isdisjoint(chunk):
        yield decode_usage(chunk)
    choices = chunk.get("choices")
    for outer in (chunk, *map(as_object, choices if isinstance(choices, list) else ())):
        for holder in (outer, *outer.values()):
            if isinstance(usage := as_object(holder).get("usage"), dict):
                yield decode_usage(usage)
    if isinstance(timings := chunk.get("timings"), dict):
        yield _decode_timings(timings)


def decode_usage(usage: Mapping[str, Any]) -> Usage:
    """One report. Besides OpenAI's names of the counts those of vendors who have their own."""
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    completion = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    read = count_in(prompt, "cached_tokens") or count_in(usage, *CACHED)
    written = count_in(prompt, "cache_write_tokens", "cache_creation_tokens") or count_in(usage, *CACHE_WRITE)
    reasoning = count_in(completion, *REASONING) or count_in(usage, *REASONING)
    input_tokens, output = count_in(usage, *INPUT), count_in(usage, *OUTPUT)
    if read + written > input_tokens or not (usage.get("prompt_tokens") or prompt):
        # In Anthropic's form, what was read from the cache and written to it is beside the rest of the input.
        input_tokens += read + written
    if reasoning > output:
        # xAI's and Perplexity's output leaves the reasoning out.
        output += reasoning
    if input_tokens and output:
        # As does Gemini's, which says only in the total how much it was.
        output = max(output, count_in(usage, "total_tokens") - input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        audio_tokens=count_in(prompt, "audio_tokens") + count_in(completion, "audio_tokens"),
    )


def _decode_timings(timings: Mapping[str, Any]) -> Usage:
    """llama.cpp's, which count the prompt without what was cached."""
    cached = count_in(timings, "cache_n")
    return Usage(
        input_tokens=count_in(timings, "prompt_n") + cached,
        output_tokens=count_in(timings, "predicted_n"),
        cached_tokens=cached,
    )
