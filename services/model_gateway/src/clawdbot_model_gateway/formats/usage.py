"""Finds and decodes the usage of a reply, in any vendor's names and wherever in a record it is.

Servers that imitate one vendor's API, and proxies before others, pass on the counts that they get.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from clawdbot.common.v1.usage_pb2 import Usage

from clawdbot_model_gateway.formats.vendor_json import as_object, count_in

INPUT: Final = ("prompttoken", "inputtoken", "prompteval")
OUTPUT: Final = (
    "completiontoken",
    "outputtoken",
    "candidatestoken",
    "responsetoken",
    "generatedtoken",
    "eval",
)
CACHED: Final = (
    *("cachedtoken", "cachereadinputtoken", "promptcachehittoken", "cachedcontenttoken"),
    *("numcachedtoken", "cachereadtoken"),
)
"""Of OpenAI and Moonshot, of Anthropic and Bedrock, of DeepSeek, of Gemini, of Mistral, of Vercel."""
NOT_CACHED: Final = "promptcachemisstoken"
WRITTEN: Final = ("cachewritetoken", "cachewriteinputtoken", "cachecreationtoken", "cachecreationinputtoken")
REASONING: Final = ("reasoningtoken", "thinkingtoken", "thoughtstoken")
INPUT_DETAILS: Final = (
    *("prompttokensdetail", "inputtokensdetail"),
    *("prompttokendetail", "inputtokendetail"),
)
OUTPUT_DETAILS: Final = (
    *("completiontokensdetail", "outputtokensdetail", "candidatestokensdetail"),
    *("completiontokendetail", "outputtokendetail"),
)
NAMES: Final = frozenset({*INPUT, *OUTPUT, *CACHED, *WRITTEN, *REASONING, *INPUT_DETAILS, *OUTPUT_DETAILS})
"""What a report has at least one of. All names are as `_plain` makes them."""

USUAL: Final = ("usage", "usageMetadata")
HOLDERS: Final = frozenset({"message", "response", "delta", "output", "data", "result"})
"""Fields of a record that describe the reply, and may hold the counts."""
LISTS: Final = ("choices", "candidates")
"""The same, as lists of objects."""
COUNTING: Final = re.compile(r"usage|metrics|^x[_-]|^(meta|tokens|billed_units)$", re.IGNORECASE)
"""Names of objects that count; in all others the caller or the model may write what it likes."""
INNER: Final = ("usage", "tokens", "billed_units")
"""Where counts are in a field of a vendor's own: Groq, Cohere."""


def may_count(data: bytes) -> bool:
    """Whether a record may contain counts; quick, since nearly all records of a stream have none."""
    return b"oken" in data or b"eval_count" in data or b'"timings"' in data


def find_usage(record: Mapping[str, Any]) -> Iterator[Usage]:
    """The reports in a record, up to one that is whole; each has totals of the reply so far."""
    if isinstance(timings := record.get("timings"), dict):
        yield _decode_timings(timings)
    for place in _places(record):
        counts = _named(place)
        if not NAMES.isdisjoint(counts):
            found = _decode(counts)
            yield found
            if found.input_tokens and found.output_tokens and HOLDERS.isdisjoint(record):
                return


def _places(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that may count tokens, the usual ones first."""
    yield record
    yield from (each for name in USUAL if isinstance(each := record.get(name), dict))
    for holder in _holders(record):
        for name, place in holder.items():
            if isinstance(place, dict) and COUNTING.search(name):
                yield place
                inner = (place[each] for each in INNER if each in place)
                yield from (each for each in inner if isinstance(each, dict))
    if "usage" not in record:
        # As of Bedrock. Metadata itself, and that of a response, repeats what the caller sent.
        yield as_object(as_object(record.get("metadata")).get("usage"))


def _holders(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield record
    yield from (as_object(record.get(name)) for name in HOLDERS)
    for listed in filter(None, map(record.get, LISTS)):
        for each in map(as_object, listed if isinstance(listed, list) else ()):
            yield each
            yield from (as_object(each.get(name)) for name in HOLDERS)


def _named(counts: Any) -> dict[str, Any]:
    return {_plain(name): value for name, value in as_object(counts).items()}


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    """One name for "promptTokenCount", "prompt_token_count", "promptTokens" and "prompt_tokens"."""
    return name.lower().replace("_", "").removesuffix("count").removesuffix("s")


def _decode(counts: Mapping[str, Any]) -> Usage:
    """One report."""
    prompt, completion = _details(counts, INPUT_DETAILS), _details(counts, OUTPUT_DETAILS)
    read = count_in(prompt, *CACHED) or count_in(counts, *CACHED)
    written = count_in(prompt, *WRITTEN) or count_in(counts, *WRITTEN)
    if not written and isinstance(kept := counts.get("cachecreation"), dict):
        # Some servers report only how much of it is kept for how long.
        written = sum(count_in(kept, name) for name in kept)
    reasoning = count_in(completion, *REASONING) or count_in(counts, *REASONING)
    input_tokens = count_in(counts, *INPUT) + count_in(counts, "tooluseprompttoken")
    output = count_in(counts, *OUTPUT)
    if "thoughtstoken" in counts:
        output += reasoning
    if NOT_CACHED in counts and not input_tokens:
        input_tokens = read + count_in(counts, NOT_CACHED)
    elif not _includes_cached(counts) or read + written > input_tokens:
        input_tokens += read + written
    if reasoning > output:
        # xAI's and Perplexity's output leaves the reasoning out.
        output += reasoning
    more = count_in(counts, "totaltoken") - input_tokens - output
    if input_tokens and output and more > 0 and more not in (read, written, read + written):
        # As does Gemini's over Chat Completions, which says only in the total how much it was. Others count
        # what was cached twice there.
        output += more
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        audio_tokens=_audio(prompt) + _audio(completion),
    )


def _includes_cached(counts: Mapping[str, Any]) -> bool:
    """Whether the input does: in Anthropic's and Bedrock's form it is the rest of it."""
    return any(counts.get(name) for name in ("prompttoken", "prompteval", *INPUT_DETAILS))


def _details(counts: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """What a half of the tokens is made of: an object, or Gemini's list."""
    found = next(filter(None, map(counts.get, names)), None)
    return [*map(_named, found)] if isinstance(found, list) else _named(found) if found else {}


def _audio(details: Any) -> int:
    if isinstance(details, list):
        return sum(count_in(each, "token") for each in details if each.get("modality") == "AUDIO")
    return count_in(details, "audiotoken")


def _decode_timings(timings: Mapping[str, Any]) -> Usage:
    """llama.cpp's, which count the prompt without what was cached."""
    cached = count_in(timings, "cache_n")
    return Usage(
        input_tokens=count_in(timings, "prompt_n") + cached,
        output_tokens=count_in(timings, "predicted_n"),
        cached_tokens=cached,
    )
