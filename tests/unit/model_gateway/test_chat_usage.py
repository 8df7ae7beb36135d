"""Usage over Chat Completions: wherever it comes, and whatever the vendor's counts leave out."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance

from tests.support.chat_streams import reply_to
from tests.support.fake_openai import chunk, usage, usage_chunk


def usage_of(events) -> Usage | None:
    found = [each.usage for each in events if each.HasField("usage")]
    return found[0] if found else None


DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 1},
}


@pytest.mark.parametrize(
    "chunks",
    [
        # Late, with no choice: OpenAI.
        [chunk({"content": "Yes."}, "stop"), usage_chunk(**DETAILS)],
        # The same with null instead of no choice.
        [chunk({"content": "Yes."}, "stop"), {**usage_chunk(**DETAILS), "choices": None}],
        # With the last choice.
        [chunk({"content": "Yes."}, "stop", usage=usage(**DETAILS))],
        # With every chunk, growing: vLLM's continuous usage.
        [chunk({"content": "Yes."}, usage=usage(7, 1)), chunk({}, "stop", usage=usage(**DETAILS))],
        # Early only.
        [{**usage_chunk(**DETAILS)}, chunk({"content": "Yes."}), chunk({}, "stop")],
    ],
)
def test_usage_is_reported_once_wherever_it_comes(chunks):
    assert usage_of(reply_to(*chunks)) == Usage(
        input_tokens=7,
        output_tokens=3,
        cached_tokens=5,
        reasoning_tokens=2,
        audio_tokens=2,
        provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )


def test_usage_of_a_stream_that_broke_off_is_partial():
    events = reply_to(chunk({"content": "Ye"}, usage=usage(7, 1)), done=False)
    assert usage_of(events).provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL


@pytest.mark.parametrize("nonsense", [None, "many", [], {"prompt_tokens": -3, "completion_tokens": "two"}])
def test_invalid_usage_counts_nothing(nonsense):
    events = reply_to(chunk({"content": "Yes."}, "stop", usage=nonsense))
    assert usage_of(events) in (None, Usage(provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # xAI: reasoning beside the output, and in the total.
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94),
        ),
        # Perplexity: in no total.
        (
            {"prompt_tokens": 33, "completion_tokens": 71, "total_tokens": 104, "reasoning_tokens": 739},
            Usage(input_tokens=33, output_tokens=810, reasoning_tokens=739),
        ),
        # xAI with little reasoning: only the total shows it.
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 46,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input_tokens=32, output_tokens=14, reasoning_tokens=5),
        ),
        # Gemini over Chat Completions: in the total alone.
        (
            {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 110},
            Usage(input_tokens=7, output_tokens=103),
        ),
        # OpenAI: included.
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 100,
                "total_tokens": 107,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input_tokens=7, output_tokens=100, reasoning_tokens=94),
        ),
        # Anthropic's form: what was cached is beside the input.
        (
            {
                "input_tokens": 7,
                "output_tokens": 3,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 50,
            },
            Usage(input_tokens=157, output_tokens=3, cached_tokens=100, cache_write_tokens=50),
        ),
        (
            {"input_tokens": 70, "output_tokens": 3, "cache_read_input_tokens": 5, "total_tokens": 78},
            Usage(input_tokens=75, output_tokens=3, cached_tokens=5),
        ),
        ({"input_tokens": 7, "output_tokens": 3}, Usage(input_tokens=7, output_tokens=3)),
        # LiteLLM before Anthropic: included.
        (
            {
                "prompt_tokens": 107,
                "completion_tokens": 3,
                "total_tokens": 110,
                "cache_read_input_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 100},
            },
            Usage(input_tokens=107, output_tokens=3, cached_tokens=100),
        ),
        # The form of Responses: included.
        (
            {"input_tokens": 107, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 100}},
            Usage(input_tokens=107, output_tokens=3, cached_tokens=100),
        ),
        # More was cached than the prompt has: it is beside the prompt.
        (
            {"prompt_tokens": 7, "completion_tokens": 3, "cache_read_input_tokens": 100},
            Usage(input_tokens=107, output_tokens=3, cached_tokens=100),
        ),
        ({"prompt_tokens": 7.0, "completion_tokens": 3.0}, Usage(input_tokens=7, output_tokens=3)),
        (
            {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 5},
            Usage(input_tokens=7, output_tokens=3),
        ),
    ],
)
def test_input_includes_what_is_cached_and_output_includes_reasoning(counts, expected):
    expected.provenance = UsageProvenance.USAGE_PROVENANCE_REPORTED
    assert usage_of(reply_to(chunk({"content": "Yes."}, "stop", usage=counts))) == expected
