"""The events of a reply do not depend on how it is cut, and any bytes raise only ModelError."""

from __future__ import annotations

import json
from contextlib import suppress

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_TRUNCATED
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import ModelError, ProtocolViolation
from clawdbot_model_gateway.core.events import merge_deltas
from hypothesis import given
from hypothesis import strategies as st

from tests.support.anthropic_streams import read, stream_decoder, whole
from tests.support.chat_streams import cut
from tests.support.fake_anthropic import PING, begin, calls, end, message, says, sse, thinks
from tests.support.generate_requests import check_grammar

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BLOCKS = st.one_of(
    st.builds(lambda pieces: ("text", pieces), st.lists(TEXTS, max_size=3)),
    st.builds(lambda pieces: ("thinking", pieces), st.lists(TEXTS, max_size=3)),
    st.builds(lambda zone: ("tool_use", {"zone": zone}), TEXTS),
)
REASONS = st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "new"])


def streamed(blocks):
    """The blocks as events."""
    for index, (kind, content) in enumerate(blocks):
        if kind == "tool_use":
            text = json.dumps(content)
            pieces = (text[:5], text[5:])
            yield from calls("clock_now", *pieces, call_id=f"t{index}", index=index)
        else:
            yield from (says if kind == "text" else thinks)(*content, index=index)
        yield PING


def at_once(blocks):
    """The same as the content of a reply that comes at once."""
    for index, (kind, content) in enumerate(blocks):
        if kind == "text":
            yield {"type": "text", "text": "".join(content)}
        elif kind == "thinking":
            yield {"type": "thinking", "thinking": "".join(content), "signature": "c2ln"}
        else:
            yield {"type": "tool_use", "id": f"t{index}", "name": "clock_now", "input": content}


REPLIES = st.builds(
    lambda blocks, reason, newline: sse(begin(), *streamed(blocks), *end(reason), newline=newline),
    st.lists(BLOCKS, max_size=5),
    REASONS,
    st.sampled_from(["\n", "\r", "\r\n"]),
)


@given(cut(REPLIES))
def test_any_cut_of_any_reply_gives_the_same_events(pieces):
    events, one_piece = read(*pieces), read(b"".join(pieces))
    check_grammar(events)
    assert events == one_piece


@given(REPLIES)
def test_merged_events_accumulate_to_the_same_reply(stream):
    events = read(stream)
    expected = accumulate(events)
    assert accumulate(merge_deltas(events)) == expected


@given(st.lists(BLOCKS, max_size=5), REASONS)
def test_a_reply_at_once_accumulates_to_the_same_as_its_stream(blocks, reason):
    events = read(sse(begin(), *streamed(blocks), *end(reason)))
    assert accumulate(whole(message(*at_once(blocks), reason=reason))) == accumulate(events)


def content_so_far(stream):
    """The events with content that a stream has given so far."""
    out = []
    stream_decoder().feed(stream, out)
    return [each for each in out if each.WhichOneof("event") != "started"]


@given(REPLIES, st.data())
def test_a_reply_that_breaks_off_anywhere_is_truncated_or_has_not_begun(stream, data):
    last = stream.rindex(b"data:")
    broken = stream[: data.draw(st.integers(0, last))]
    try:
        events = read(broken)
    except ProtocolViolation:
        assert not content_so_far(broken)
        return
    check_grammar(events)
    assert events[-1].finished.finish_reason == FINISH_REASON_TRUNCATED


KEYS = [
    *("type", "message", "delta", "content_block", "index", "text", "thinking", "signature", "partial_json"),
    *(
        "stop_reason",
        "usage",
        "input_tokens",
        "output_tokens",
        "error",
        "id",
        "name",
        "input",
        "data",
        "model",
    ),
]
STRINGS = [
    *(
        "",
        "x",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "tool_use",
    ),
    *(
        "message_delta",
        "message_stop",
        "text_delta",
        "input_json_delta",
        "signature_delta",
        "thinking",
        "text",
    ),
    *("redacted_thinking", "end_turn", "\ud800"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(STRINGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(st.lists(JSON, max_size=5), st.binary(max_size=40))
def test_whatever_a_server_sends_only_model_errors_are_raised(events, noise):
    stream = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in events) + noise
    with suppress(ModelError):
        check_grammar(read(stream))
