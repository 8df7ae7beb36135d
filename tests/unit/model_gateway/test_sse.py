"""Server-sent events are parsed the same way wherever the network cuts them."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats import sse
from clawdbot_model_gateway.formats.json_stream import Record
from clawdbot_model_gateway.formats.sse import EventParser
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chat_streams import cut


def parsed(*pieces: bytes) -> list[Record]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.end()


def data(*pieces: bytes) -> list[bytes]:
    return [event.data for event in parsed(*pieces)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_in_lf_cr_or_crlf(end):
    assert data(b"data: one" + end * 2 + b"data: two" + end * 2) == [b"one", b"two"]


def test_a_crlf_that_is_cut_in_two_ends_one_line():
    assert data(b"data: one\r", b"\n\r", b"\ndata: two\r", b"\n\r\n") == [b"one", b"two"]


def test_a_cr_ends_its_event_without_waiting_for_what_follows():
    parser = EventParser()
    assert [each.data for each in parser.feed(b"data: one\r\r")] == [b"one"]


def test_several_events_in_one_piece_keep_their_order():
    assert data(b"data: 1\n\ndata: 2\n\ndata: 3\n\n") == [b"1", b"2", b"3"]


def test_data_lines_of_one_event_are_joined():
    assert data(b"data: one\ndata:\ndata:  two\n\n") == [b"one\n\n two"]


def test_comments_and_other_fields_are_ignored():
    assert data(b": keep-alive\n\nid: 7\nretry: 10\ndata: one\nfoo\n\n:\n\n") == [b"one"]


def test_a_byte_order_mark_is_not_part_of_the_first_line():
    assert data(b"\xef\xbb\xbfdata: one\n\n") == [b"one"]


def test_the_event_line_names_only_its_own_event():
    assert parsed(b"event: error\ndata: x\n\ndata: y\n\n") == [
        Record(b"x", b"error"),
        Record(b"y"),
    ]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r"])
def test_the_last_event_needs_no_blank_line(ending):
    assert data(b"data: one" + ending) == [b"one"]


def test_an_event_without_data_is_left_out():
    assert data(b"event: ping\n\n\n\ndata: one\n\n") == [b"one"]


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: " + b"x" * 60 + b"\n"])
def test_an_event_that_is_too_large_is_an_error(monkeypatch, piece):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    parser = EventParser()
    with pytest.raises(ProtocolViolation):  # noqa: PT012 - any of the calls may raise it
        for _ in range(100):
            parser.feed(piece)


LINES = st.lists(
    st.sampled_from([b"data: x", b"data:", b"data: \xe4\xbd\xa0", b"", b": c", b"event: e", b"data"]),
    max_size=12,
)
STREAMS = st.builds(
    lambda lines, ends: b"".join(line + ends[index % len(ends)] for index, line in enumerate(lines)),
    LINES,
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1, max_size=3),
)


@given(cut(STREAMS))
def test_any_cut_of_any_stream_gives_the_same_events(pieces):
    assert parsed(*pieces) == parsed(b"".join(pieces))


@given(cut(st.binary(max_size=300)))
def test_any_bytes_give_events_and_never_an_exception(pieces):
    assert parsed(*pieces) == parsed(b"".join(pieces))


def test_objects_that_no_empty_line_separates_are_events_of_their_own():
    assert parsed(b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n\n') == parsed(
        b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n'
    )


def test_names_belong_to_the_objects_after_them_also_without_empty_lines():
    assert parsed(b'event: a\ndata: {"a": 1}\nevent: ping\ndata: {}\n\n') == parsed(
        b'event: a\ndata: {"a": 1}\n\nevent: ping\ndata: {}\n\n'
    )


def test_an_object_over_several_lines_is_one_event():
    assert parsed(b'data: {"a":\ndata: 1}\n\n') == parsed(
        b'data: {"a": 1}\n\n'.replace(b": 1", b":\ndata: 1")
    )
    assert len(parsed(b'data: {"a":\ndata: 1}\n\n')) == 1
