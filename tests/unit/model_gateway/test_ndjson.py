"""Lines of JSON are split the same way wherever the network cuts them."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats import ndjson
from clawdbot_model_gateway.formats.ndjson import DocumentParser, LineParser
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


# Documents of several lines

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('ab"\\{}[],:\n你'), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('a"{['), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.lists(
    st.tuples(
        st.dictionaries(st.text(max_size=2), VALUES, max_size=3) | st.lists(VALUES, max_size=3),
        st.sampled_from([None, 0, 1, "\t"]),
    ),
    max_size=5,
)


@given(
    DOCUMENTS.flatmap(
        lambda documents: cut(
            st.sampled_from(["\n", "\r\n", "\n\n"]).map(
                lambda end: "".join(
                    json.dumps(each, indent=indent, ensure_ascii=False).replace("\n", end) + end
                    for each, indent in documents
                ).encode()
            )
        ).map(lambda pieces: ([each for each, _ in documents], pieces))
    )
)
def test_documents_of_one_line_or_several_are_records_wherever_they_are_cut(documents_and_pieces):
    documents, pieces = documents_and_pieces
    parser = DocumentParser()
    records = [each for piece in pieces for each in parser.feed(piece)] + parser.end()
    in_lists = [each for document in documents for each in in_list(document)]
    assert [json.loads(each) for each in data(records)] == in_lists


def in_list(document):
    """What is in a document that is a list; an empty one stays."""
    return document if isinstance(document, list) and document else [document]


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (b'[{"a":1}\n,{"b":2}\n]\n', [{"a": 1}, {"b": 2}]),
        (b'[\n{"a":1},\n{"b":2}\n]', [{"a": 1}, {"b": 2}]),
        (b'[{"a":1180591620717411303425},{"b":"\\ud83d"}]', [{"a": 2**70 + 1}, {"b": "\ud83d"}]),
        (b'{"a":{"b":1}\n,"c":2}\n{"d":3}\n', [{"a": {"b": 1}, "c": 2}, {"d": 3}]),
    ],
)
def test_a_document_ends_where_its_brackets_do(text, documents):
    parser = DocumentParser()
    assert [json.loads(each) for each in data(parser.feed(text) + parser.end())] == documents


def test_a_line_that_is_cut_inside_a_text_does_not_take_the_next_one():
    parser = DocumentParser()
    assert data(parser.feed(b'{"a":"x\n{"b":1}\n')) == [b'{"a":"x', b'{"b":1}']


def test_a_document_that_does_not_end_is_the_last_record():
    parser = DocumentParser()
    assert parser.feed(b'{\n"a": [\n') == []
    assert data(parser.end()) == [b'{\n"a": [']
    assert parser.end() == []


def test_a_document_that_never_ends_is_an_error(monkeypatch):
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 1000)
    parser = DocumentParser()
    with pytest.raises(ProtocolViolation, match="longer than 1000 bytes"):
        parser.feed(b"{\n" + b'"a": 1,\n' * 200)
