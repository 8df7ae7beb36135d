"""The events of a reply do not depend on how it is cut, and any bytes raise only ModelError."""

from __future__ import annotations

import json
from contextlib import suppress

from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.events import merge_deltas
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chat_streams import cut
from tests.support.fake_gemini import call, chunk, counts, sse
from tests.support.gemini_streams import read, reply_to, whole
from tests.support.generate_requests import check_grammar

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SIGNATURES = st.sampled_from([None, "c2ln", "cHJvb2Y="])
PARTS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXTS),
    st.builds(lambda text: {"text": text, "thought": True}, TEXTS),
    st.builds(lambda text: {"text": text, "thoughtSignature": "c2ln"}, TEXTS),
    st.builds(
        lambda number, signature: call("clock_now", {"n": number}, call_id=f"c{number}", signature=signature),
        st.integers(0, 5),
        SIGNATURES,
    ),
    st.just({"executableCode": {"code": "1"}}),
)
ENDS = st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "A_NEW_ONE", None])
REPLIES = st.builds(
    lambda parts, finish, newline, usage: sse(
        chunk({"text": "Well"}),
        *(chunk(each, usage=counts(output=None) if usage else None) for each in parts),
        chunk(finish=finish, usage=counts(thoughts=2) if usage else None),
        newline=newline,
    ),
    st.lists(PARTS, max_size=8),
    ENDS,
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


@given(st.lists(PARTS, min_size=1, max_size=8), ENDS)
def test_a_reply_at_once_accumulates_to_the_same_as_its_stream(parts, finish):
    streamed = reply_to(chunk({"text": "Well"}), *map(chunk, parts), chunk(finish=finish, usage=counts()))
    assert accumulate(whole(chunk({"text": "Well"}, *parts, finish=finish, usage=counts()))) == accumulate(
        streamed
    )


KEYS = [
    *(
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "thoughtSignature",
        "functionCall",
        "name",
        "args",
    ),
    *("id", "index", "finishReason", "usageMetadata", "promptTokenCount", "promptTokensDetails", "modality"),
    *("promptFeedback", "blockReason", "modelVersion", "error", "code", "status", "message", "details"),
    *("@type", "violations", "retryDelay", "reason", "tokenCount"),
]
STRINGS = [
    "\ud800",
    "",
    "x",
    "STOP",
    "AUDIO",
    "RESOURCE_EXHAUSTED",
    "type.googleapis.com/google.rpc.RetryInfo",
    "9e9s",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(STRINGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
CANDIDATES = st.builds(
    lambda parts: {"candidates": [{"content": {"parts": parts}}]}, st.lists(JSON, max_size=3)
)


@given(st.lists(JSON | CANDIDATES, max_size=5), st.binary(max_size=40))
def test_whatever_a_server_sends_only_model_errors_are_raised(chunks, noise):
    stream = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in chunks) + noise
    with suppress(ModelError):
        check_grammar(read(stream))
