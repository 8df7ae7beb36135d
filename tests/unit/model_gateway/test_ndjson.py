"""Lines of JSON are split the same way wherever the network cuts them."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats import ndjson
from clawdbot_model_gateway.formats.ndjson import LineParser
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chat_streams import cut


def lines_of(*pieces):
    parser = LineParser()
    return [*(line for piece in pieces for line in data(parser.feed(piece))), *data(parser.end())]


def data(records):
    return [each.data for each in records]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n\n", b"\r\n \r\n"])
def test_lines_end_in_lf_or_crlf_and_empty_ones_are_left_out(newline):
    assert lines_of(newline.join([b'{"a":1}', b'{"b":2}', b""])) == [b'{"a":1}', b'{"b":2}']


def test_a_line_waits_for_its_end():
    parser = LineParser()
    assert parser.feed(b'{"a"') == []
    assert parser.feed(b":1}\r") == []
    assert data(parser.feed(b'\n{"b"')) == [b'{"a":1}']
    assert data(parser.end()) == [b'{"b"']
    assert parser.end() == []


def test_a_carriage_return_inside_a_line_does_not_end_it():
    assert lines_of(b'{"a":\r1}\n') == [b'{"a":\r1}']


def test_a_cut_inside_a_character_does_no_harm():
    text = '{"a":"你好"}'.encode()
    assert lines_of(*(text[index : index + 1] for index in range(len(text)))) == [text]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6).flatmap(
        lambda texts: cut(
            st.sampled_from(["\n", "\r\n"]).map(
                lambda end: "".join(json.dumps([text], ensure_ascii=False) + end for text in texts).encode()
            )
        ).map(lambda pieces: (texts, pieces))
    )
)
def test_any_cut_gives_the_same_lines(texts_and_pieces):
    texts, pieces = texts_and_pieces
    assert [json.loads(line) for line in lines_of(*pieces)] == [[text] for text in texts]


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_are_split_at_newlines(pieces):
    expected = [line for each in b"".join(pieces).split(b"\n") if (line := each.strip())]
    assert lines_of(*pieces) == expected


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_line_that_is_too_long_is_an_error(monkeypatch, size):
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 1000)
    with pytest.raises(ProtocolViolation, match="a line of the stream is longer than 1000 bytes"):
        lines_of(*[b"x" * size] * 2000)


def test_the_limit_applies_to_each_line_and_not_to_their_sum(monkeypatch):
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 1000)
    parser = LineParser()
    for _ in range(50):
        assert parser.feed(b"x" * 500) == []
        assert parser.feed(b"x" * 400 + b"\n" + b"y" * 50) != []
        assert data(parser.feed(b"\n")) == [b"y" * 50]
