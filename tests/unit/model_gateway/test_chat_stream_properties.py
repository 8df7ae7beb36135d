"""The events of a reply do not depend on how it is cut, and any bytes raise only ModelError."""

from __future__ import annotations

import json
from contextlib import suppress

from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import merge_deltas
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.chat_streams import call, cut, read, reply_to, response_decoder
from tests.support.fake_openai import chunk, completion, sse, usage, usage_chunk
from tests.support.generate_requests import check_grammar

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, TEXTS),
    st.builds(lambda text: {"reasoning": text}, TEXTS),
    st.just({}),
    st.builds(
        lambda number: {"tool_calls": [call(number, f"c{number}", "clock_now", "{}")]}, st.integers(0, 2)
    ),
)
REPLIES = st.builds(
    lambda deltas, finish, newline, late: sse(
        *map(chunk, deltas), chunk({}, finish), *([usage_chunk()] if late else []), newline=newline
    ),
    st.lists(DELTAS, max_size=8),
    st.sampled_from(["stop", "length", "tool_calls", "new"]),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.booleans(),
)


@given(cut(REPLIES))
def test_any_cut_of_any_reply_gives_the_same_events(pieces):
    events, at_once = read(*pieces), read(b"".join(pieces))
    check_grammar(events)
    assert events == at_once


@given(REPLIES)
def test_merged_events_accumulate_to_the_same_reply(stream):
    events = read(stream)
    expected = accumulate(events)
    assert accumulate(merge_deltas(events)) == expected


@given(
    st.lists(st.sampled_from(["Good", " evening", "你", "."]), min_size=1, max_size=6),
    st.sampled_from(["stop", "length", "new", None]),
)
def test_a_reply_at_once_accumulates_to_the_same_as_its_stream(pieces, finish):
    streamed = reply_to(*(chunk({"content": each}) for each in pieces), chunk({}, finish, usage=usage()))
    whole = response_decoder().decode_whole(completion({"content": "".join(pieces)}, finish))
    assert accumulate(whole) == accumulate(streamed)


KEYS = [
    *("choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "id", "index"),
    *("finish_reason", "usage", "prompt_tokens", "error", "object", "model", "text", "type", "refusal"),
    *("code", "reasoning", "thinking", "function_call"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "stop", "c1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(st.lists(JSON, max_size=5), st.binary(max_size=40))
@example([{"choices": [{"delta": {"tool_calls": [{"id": "x" * 9, "function": {"name": 1}}]}}]}], b"")
def test_whatever_a_server_sends_only_model_errors_are_raised(chunks, noise):
    stream = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in chunks) + noise
    with suppress(ModelError):
        check_grammar(read(stream))
