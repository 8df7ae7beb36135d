"""The one YAML reader: nodes with positions, and bounds that no source exceeds."""

from __future__ import annotations

import pytest
from clawdbot_servicekit.yaml_document import (
    MAX_DEPTH,
    MAX_SOURCE_LENGTH,
    YamlError,
    plain_data,
    position,
    read_yaml,
    refuse,
)

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


def test_data_is_plain_and_every_key_and_value_has_a_position():
    root = read_yaml("a:\n  - 1\n  - {b: on}\n", refuse)
    assert plain_data(root) == {"a": [1, {"b": "on"}]}
    mark, items = root.content["a"]
    assert (position(mark), position(items.content[1].mark)) == ((1, 1), (3, 5))


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("a: [1", "syntax", 1),
        ("a: \x07", "syntax", 1),
        ("a: 1\nb: *c", "syntax", 2),
        ("a: &a\n  b: *a", "recursive-alias", 1),
        ("a: 1\nb: !!str 1", "tag", 2),
        ("a: 1\n---\nb: 1", "several-documents", 2),
        ("[" * (MAX_DEPTH + 2), "too-deep", 1),
        (BOMB, "too-large", 6),
        ("x" * (MAX_SOURCE_LENGTH + 1), "too-large", 1),
        ("8080: a", "key-not-text", 1),
        ("[a]: b", "key-not-text", 1),
        ("a: 1\nb: 2\na: 3", "duplicate-key", 3),
    ],
)
def test_what_is_wrong_has_a_code_and_a_position(source, code, line):
    with pytest.raises(YamlError) as caught:
        read_yaml(source, refuse)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert caught.value.message.endswith(".")


def test_a_bad_key_that_is_only_reported_is_left_out():
    found = []
    root = read_yaml("a: 1\na: 2\n3: 4\nb: 5", found.append)
    assert plain_data(root) == {"a": 1, "b": 5}
    assert [(each.code, each.line, each.key) for each in found] == [
        ("duplicate-key", 2, "a"),
        ("key-not-text", 3, ""),
    ]


def test_keys_may_be_taken_as_they_are_written():
    root = read_yaml("8080: a\ntrue: b\n0x1: c", refuse, keys_as_written=True)
    assert plain_data(root) == {"8080": "a", "true": "b", "0x1": "c"}


def test_an_anchor_may_be_defined_again():
    assert plain_data(read_yaml("a: &x {b: &x 1}\nc: *x", refuse)) == {"a": {"b": 1}, "c": {"b": 1}}
