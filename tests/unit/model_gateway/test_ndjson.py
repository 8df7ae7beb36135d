"""Lines of JSON, from bytes that the network has cut anywhere."""

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
    found = [line for piece in pieces for line in parser.feed(piece)]
    return found + parser.end()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n\n", b"\r\n \r\n"])
def test_lines_end_in_lf_or_crlf_and_empty_ones_say_nothing(newline):
    assert lines_of(newline.join([b'{"a":1}', b'{"b":2}', b""])) == [b'{"a":1}', b'{"b":2}']


def test_a_line_waits_for_its_end():
    parser = LineParser()
    assert parser.feed(b'{"a"') == []
    assert parser.feed(b":1}\r") == []
    assert parser.feed(b'\n{"b"') == [b'{"a":1}']
    assert parser.end() == [b'{"b"']
    assert parser.end() == []


def test_a_carriage_return_inside_a_line_ends_nothing():
    assert lines_of(b'{"a":\r1}\n') == [b'{"a":\r1}']


def test_a_character_that_is_cut_is_whole_again():
    text = '{"a":"你好"}'.encode()
    assert lines_of(*(text[place : place + 1] for place in range(len(text)))) == [text]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6).flatmap(
        lambda texts: cut(
            st.sampled_from(["\n", "\r\n"]).map(
                lambda end: "".join(json.dumps([text], ensure_ascii=False) + end for text in texts).encode()
            )
        ).map(lambda pieces: (texts, pieces))
    )
)
def test_any_cut_gives_the_same_lines(given_):
    texts, pieces = given_
    assert [json.loads(line) for line in lines_of(*pieces)] == [[text] for text in texts]


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_give_the_lines_that_are_in_them(pieces):
    expected = [line for each in b"".join(pieces).split(b"\n") if (line := each.strip())]
    assert lines_of(*pieces) == expected


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_line_that_never_ends_is_given_up(monkeypatch, size):
    monkeypatch.setattr(ndjson, "LARGEST", 1000)
    with pytest.raises(ProtocolViolation, match="a line of more than 1000 bytes"):
        lines_of(*[b"x" * size] * 2000)


def test_many_lines_may_be_larger_together_than_one(monkeypatch):
    monkeypatch.setattr(ndjson, "LARGEST", 1000)
    parser = LineParser()
    for _ in range(50):
        assert parser.feed(b"x" * 500) == []
        assert parser.feed(b"x" * 400 + b"\n" + b"y" * 50) != []
        assert parser.feed(b"\n") == [b"y" * 50]
