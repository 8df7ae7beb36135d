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
from tests.support.fake_responses import call, message, reasoning, response, sse, streamed
from tests.support.generate_requests import check_grammar
from tests.support.responses_streams import read, response_decoder

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.booleans() | st.integers(-9, 9), max_size=3)
ITEMS = st.one_of(
    st.builds(lambda texts: message(*texts), st.lists(TEXTS, max_size=2)),
    st.builds(lambda text: message(refusal=text), TEXTS),
    st.builds(lambda texts: reasoning(*texts), st.lists(TEXTS, max_size=2)),
    st.builds(lambda arguments: call("clock_now", json.dumps(arguments, ensure_ascii=False)), ARGUMENTS),
)
OUTPUTS = st.lists(ITEMS, max_size=4).map(
    lambda items: [{**each, "id": f"{each['id']}_{index}"} for index, each in enumerate(items)]
)
REPLIES = st.builds(
    lambda output, size, newline: sse(*streamed(*output, size=size), newline=newline),
    OUTPUTS,
    st.integers(1, 5),
    st.sampled_from(["\n", "\r", "\r\n"]),
)


@given(cut(REPLIES))
def test_any_cut_of_any_reply_gives_the_same_events(pieces):
    events = read(*pieces)
    check_grammar(events)
    assert events == read(b"".join(pieces))
    assert accumulate(merge_deltas(list(events))) == accumulate(read(*pieces))


@given(OUTPUTS, st.integers(1, 5))
def test_a_response_at_once_accumulates_to_the_same_as_its_stream(output, size):
    streamed_events = read(sse(*streamed(*output, size=size)))
    assert accumulate(response_decoder().decode_whole(response(*output))) == accumulate(streamed_events)


@given(OUTPUTS, st.data())
def test_a_reply_that_breaks_off_anywhere_is_truncated_or_an_error(output, data):
    sent = streamed(*output)
    broken = sent[: data.draw(st.integers(0, len(sent) - 1))]
    with suppress(ModelError):
        events = read(sse(*broken))
        check_grammar(events)
        assert events[-1].finished.truncated


KINDS = [
    *("response.created", "response.output_item.added", "response.output_item.done", "response.completed"),
    *("response.output_text.delta", "response.output_text.done", "response.refusal.delta", "error"),
    *("response.function_call_arguments.delta", "response.function_call_arguments.done", "response.failed"),
    *("response.reasoning_summary_text.delta", "response.reasoning_text.done", "response.incomplete"),
    *("message", "function_call", "reasoning", "output_text", "summary_text", "refusal", "completed", "x"),
]
KEYS = [
    *(
        "type",
        "response",
        "item",
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "delta",
        "text",
    ),
    *(
        "id",
        "name",
        "arguments",
        "call_id",
        "status",
        "output",
        "content",
        "summary",
        "usage",
        "error",
        "code",
    ),
    *("refusal", "encrypted_content", "incomplete_details", "reason", "input_tokens", "model", "message"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.floats()
    | st.sampled_from([*KINDS, "", "{}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
EVENTS = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5),
)


@given(st.lists(EVENTS | JSON, max_size=6), st.binary(max_size=40))
def test_whatever_a_server_sends_only_model_errors_are_raised(events, noise):
    stream = b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in events) + noise
    with suppress(ModelError):
        check_grammar(read(stream))


@given(JSON)
def test_whatever_a_server_answers_at_once_only_model_errors_are_raised(body):
    with suppress(ModelError):
        check_grammar(response_decoder().decode_whole(body))
