"""The events of a reply do not depend on how it is cut, and any bytes raise only ModelError."""

from __future__ import annotations

import json
from contextlib import suppress

from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import merge_deltas
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.chat_streams import cut
from tests.support.fake_ollama import call, last, line, ndjson
from tests.support.generate_requests import check_grammar
from tests.support.ollama_streams import read

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MESSAGES = st.one_of(
    st.builds(lambda text: {"content": text}, TEXTS),
    st.builds(lambda text: {"thinking": text}, TEXTS),
    st.builds(lambda thought, text: {"thinking": thought, "content": text}, TEXTS, TEXTS),
    st.builds(lambda number, text: call("clock_now", {"zone": text}, f"c{number}"), st.integers(), TEXTS),
    st.just({}),
)
REPLIES = st.builds(
    lambda messages, end, reason, newline: ndjson(
        line({"content": "Good"}), *map(line, messages), last(reason, end), newline=newline
    ),
    st.lists(MESSAGES, max_size=8),
    MESSAGES,
    st.sampled_from(["stop", "length", "load", "new", "", None]),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)


@given(cut(REPLIES))
def test_any_cut_of_any_reply_gives_the_same_events(pieces):
    events, at_once = read(*pieces), read(b"".join(pieces))
    check_grammar(events)
    assert events == at_once


@given(REPLIES, st.data())
def test_a_reply_that_breaks_off_anywhere_is_truncated(stream, data):
    first, end = stream.index(b"\n") + 1, stream.rstrip().rindex(b"\n")
    whole = read(stream)
    events = read(stream[: data.draw(st.integers(first, max(first, end)))])
    check_grammar(events)
    assert events[-1].finished.truncated
    assert len(events) <= len(whole) + 1


@given(REPLIES)
def test_merged_events_accumulate_to_the_same_reply(stream):
    events = read(stream)
    expected = accumulate(events)
    assert accumulate(merge_deltas(events)) == expected


KEYS = [
    *(
        "message",
        "content",
        "thinking",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "index",
        "error",
    ),
    *("done", "done_reason", "model", "prompt_eval_count", "eval_count", "role"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "stop", "c1", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(st.lists(JSON, max_size=5), st.binary(max_size=40))
@example([{"message": {"tool_calls": [{"id": 1, "function": {"name": 1, "arguments": [[]]}}, 3]}}], b"")
@example([{"message": {"content": "x"}, "done": True, "done_reason": 3}], b"")
def test_whatever_a_server_sends_only_model_errors_are_raised(lines, noise):
    stream = b"".join(json.dumps(each).encode() + b"\n" for each in lines) + noise
    with suppress(ModelError):
        check_grammar(read(stream))
