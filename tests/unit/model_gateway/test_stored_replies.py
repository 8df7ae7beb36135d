"""A reply as it is stored: as it came for streams, and with joined deltas for those who want it whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.reply_cache.codec import CorruptReply, decode, encode
from hypothesis import given
from hypothesis import strategies as st

END = events.finished(FinishReason.FINISH_REASON_STOP, "stop")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
EVENTS = st.lists(
    st.one_of(
        TEXT.map(events.text_delta),
        TEXT.map(events.reasoning_delta),
        TEXT.map(lambda each: events.reasoning_delta(each, signature=b"s")),
        st.just(events.reasoning_delta("", redacted=True)),
    ),
    max_size=20,
)
CALL = [
    events.tool_call_started(0, "c", "clock.now"),
    events.tool_call_delta(0, "{"),
    events.tool_call_delta(0, "}"),
    events.tool_call_done(0, ToolCall(id="c", name="clock.now", arguments_json="{}")),
]


@given(EVENTS, EVENTS)
def test_a_reply_is_read_as_it_came_and_the_whole_one_is_the_same(before, after):
    reply = [events.started("m"), *before, *CALL, *after, events.usage(Usage(input_tokens=1)), END]
    stored = encode(reply, 5.0)
    assert decode(stored) == (reply, 5.0)
    whole, expires_at = decode(stored, whole=True)
    assert expires_at == 5.0
    assert accumulate(whole) == accumulate(reply)
    kinds = [each.WhichOneof("event") for each in whole]
    assert not any(one == other == "text_delta" for one, other in pairwise(kinds))


def test_a_whole_reply_does_not_get_longer_with_its_deltas():
    reply = [events.started("m"), *(events.text_delta("word ") for _ in range(5000)), END]
    whole, _ = decode(encode(reply, 5.0), whole=True)
    assert len(whole) == 3
    assert whole[1].text_delta.text == "word " * 5000


@pytest.mark.parametrize("pieces", [["yes"], ["yes", " sir"]])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_cut_off_is_never_another_reply(pieces, whole):
    reply = [events.started("m"), *map(events.text_delta, pieces), END]
    stored = encode(reply, 5.0)
    for length in range(len(stored)):
        try:
            read, _ = decode(stored[:length], whole=whole)
        except CorruptReply:
            continue
        assert accumulate(read) == accumulate(reply)


@pytest.mark.parametrize("stored", [b"", b"\xff" * 11, b"\xff" * 12, b"\xff" * 100, bytes(100)])
def test_what_is_no_reply_is_refused(stored):
    for whole in (True, False):
        with pytest.raises(CorruptReply):
            decode(stored, whole=whole)
